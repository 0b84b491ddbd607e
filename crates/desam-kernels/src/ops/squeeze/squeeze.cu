// Squeeze-and-excitation: global average pooling, and planes scaled by a factor each, forward and
// backward; ../instance_norm/planes.cuh describes the partition of planes, and computes the sums
// combined here.
#include "../instance_norm/planes.cuh"

namespace {

using namespace planes;

// From the parts' moments: the first warp of a plane's first block writes.
DEVICE void join_means(const float2 *sums, float *means, const Cut &cut) {
    const Place here = place<true>(cut);
    if (here.part != 0 || threadIdx.x >= WARP) return;
    const float mean = moments_of(sums, here.plane, cut, 1.0f).mean;
    if (threadIdx.x == 0) means[here.plane] = mean;
}

// From the parts' sums.
DEVICE void join_sums(const float *sums, float *all, const Cut &cut) {
    const Place here = place<true>(cut);
    if (here.part != 0 || threadIdx.x >= WARP) return;
    const float mean = mean_of(sums, here.plane, cut, 1);
    if (threadIdx.x == 0) all[here.plane] = mean * cut.pixels;
}

// The gradient of the mean, spread evenly over the plane.
template <class T> DEVICE void spread(const float *grad, T *dx, const Cut &cut) {
    const Place here = place<true>(cut);
    const bool wide = aligned(cut, dx);
    const float share = grad[here.plane] / cut.pixels;
    const float all[RUN] = {share, share, share, share, share, share, share, share};
    for (uint32_t chunk = here.first; chunk < here.end; chunk += CHUNK)
        for (uint32_t r = 0; r < RUNS; r++)
            store(dx + here.begin, run_at(chunk, r), here.end, wide, all);
}

template <class T> DEVICE void scale(const T *x, const float *factors, T *y, const Cut &cut) {
    const Place here = place<true>(cut);
    const bool wide = aligned(cut, x, y);
    const float factor = factors[here.plane];
    for (uint32_t chunk = here.first; chunk < here.end; chunk += CHUNK) {
        float v[RUNS][RUN];
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++)
            load(x + here.begin, run_at(chunk, r), here.end, wide, v[r]);
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            for (uint32_t i = 0; i < RUN; i++) v[r][i] *= factor;
            store(y + here.begin, run_at(chunk, r), here.end, wide, v[r]);
        }
    }
}

// A factor's gradient, part by part: the sum of x · ∂y.
template <class T> DEVICE void along(const T *x, const T *grad, float *sums, const Cut &cut) {
    const Place here = place<false>(cut);
    const bool wide = aligned(cut, x, grad);
    float sum[1] = {0};
    for (uint32_t chunk = here.first; chunk < here.end; chunk += CHUNK) {
        float v[RUNS][RUN], g[RUNS][RUN];
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            load(x + here.begin, run_at(chunk, r), here.end, wide, v[r]);
            load(grad + here.begin, run_at(chunk, r), here.end, wide, g[r]);
        }
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++)
            for (uint32_t i = 0; i < RUN; i++) sum[0] += v[r][i] * g[r][i];
    }
    block_sums(sum);
    if (threadIdx.x == 0) sums[here.plane * cut.parts + here.part] = sum[0];
}

} // namespace

KERNEL(squeeze_join_means_f32, planes::THREADS, const float2 *sums, float *means, CUT) {
    join_means(sums, means, THE_CUT);
}
KERNEL(squeeze_join_sums_f32, planes::THREADS, const float *sums, float *all, CUT) {
    join_sums(sums, all, THE_CUT);
}

#define SQUEEZE(T)                                                                              \
    KERNEL(squeeze_spread_##T, planes::THREADS, const float *grad, T *dx, CUT) {                \
        spread(grad, dx, THE_CUT);                                                              \
    }                                                                                           \
    KERNEL(squeeze_scale_##T, planes::THREADS, const T *x, const float *factors, T *y, CUT) {   \
        scale(x, factors, y, THE_CUT);                                                          \
    }                                                                                           \
    KERNEL(squeeze_along_##T, planes::THREADS, const T *x, const T *grad, float *sums, CUT) {   \
        along(x, grad, sums, THE_CUT);                                                          \
    }

SQUEEZE(f32)
SQUEEZE(bf16)
SQUEEZE(f16)
