// Instance norm with LeakyReLU, forward and backward; planes.cuh describes the partition of planes.
//
// Forward: x is read for its moments (two passes in registers: mean, then squared deviations), and
// again to be normalised. Backward: y and ∂y are read for two sums, and again; the normalised x is
// y before the rectifier, so x itself is not needed.
#include "planes.cuh"

namespace {

using namespace planes;

template <class T> DEVICE void moments(const T *x, float2 *sums, const Cut &cut) {
    const Place here = place<false>(cut);
    const bool wide = aligned(cut, x);
    x += here.begin;
    float count = 0, mean = 0, spread = 0;
    for (uint32_t chunk = here.first; chunk < here.end; chunk += CHUNK) {
        float v[RUNS][RUN], sum[1] = {0}, squares[1] = {0};
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) load(x, run_at(chunk, r), here.end, wide, v[r]);
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++)
            for (uint32_t i = 0; i < RUN; i++) sum[0] += v[r][i];
        block_sums(sum);
        const float some = min(CHUNK, here.end - chunk), middle = sum[0] / some;
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++)
            for (uint32_t i = 0; i < RUN; i++) {
                const float off = run_at(chunk, r) + i < here.end ? v[r][i] - middle : 0.0f;
                squares[0] += off * off;
            }
        block_sums(squares);
        const float off = middle - mean, share = some / (count + some);
        mean += off * share;
        spread += squares[0] + off * off * count * share;
        count += some;
    }
    if (threadIdx.x == 0) sums[here.plane * cut.parts + here.part] = make_float2(mean, spread);
}

template <class T>
DEVICE void normalise(const T *x, const float2 *sums, T *y, float eps, float slope, const Cut &cut) {
    const Place here = place<true>(cut);
    const bool wide = aligned(cut, x, y);
    const Moments norm = moments_of(sums, here.plane, cut, eps);
    x += here.begin;
    y += here.begin;
    for (uint32_t chunk = here.first; chunk < here.end; chunk += CHUNK) {
        float v[RUNS][RUN];
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) load(x, run_at(chunk, r), here.end, wide, v[r]);
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            for (uint32_t i = 0; i < RUN; i++)
                v[r][i] = rectified((v[r][i] - norm.mean) * norm.scale, slope);
            store(y, run_at(chunk, r), here.end, wide, v[r]);
        }
    }
}

// With h the gradient of the norm's output n: the sums of h and of h · n.
template <class T>
DEVICE void open(const T *y, const T *grad, float2 *sums, float slope, const Cut &cut) {
    const Place here = place<false>(cut);
    const bool wide = aligned(cut, y, grad);
    y += here.begin;
    grad += here.begin;
    const float steep = 1.0f / slope;
    float sum[2] = {0, 0};
    for (uint32_t chunk = here.first; chunk < here.end; chunk += CHUNK) {
        float n[RUNS][RUN], h[RUNS][RUN];
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            load(y, run_at(chunk, r), here.end, wide, n[r]);
            load(grad, run_at(chunk, r), here.end, wide, h[r]);
        }
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++)
            for (uint32_t i = 0; i < RUN; i++) {
                const float before = before_rectifier(n[r][i], h[r][i], slope);
                sum[0] += before;
                sum[1] += before * unrectified(n[r][i], steep);
            }
    }
    block_sums(sum);
    if (threadIdx.x == 0) sums[here.plane * cut.parts + here.part] = make_float2(sum[0], sum[1]);
}

// ∂x = scale · (h - mean(h) - n · mean(h · n)); it may overwrite ∂y.
template <class T>
DEVICE void close(const T *y, const T *grad, const float2 *moments, const float *sums, T *dx,
                  float eps, float slope, const Cut &cut) {
    const Place here = place<true>(cut);
    const bool wide = aligned(cut, y, grad, dx);
    const float scale = moments_of(moments, here.plane, cut, eps).scale, steep = 1.0f / slope;
    const float mean = mean_of(sums, here.plane, cut, 2);
    const float along = mean_of(sums + 1, here.plane, cut, 2);
    y += here.begin;
    grad += here.begin;
    dx += here.begin;
    for (uint32_t chunk = here.first; chunk < here.end; chunk += CHUNK) {
        float n[RUNS][RUN], h[RUNS][RUN];
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            load(y, run_at(chunk, r), here.end, wide, n[r]);
            load(grad, run_at(chunk, r), here.end, wide, h[r]);
        }
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            for (uint32_t i = 0; i < RUN; i++) {
                const float before = before_rectifier(n[r][i], h[r][i], slope);
                h[r][i] = scale * (before - mean - unrectified(n[r][i], steep) * along);
            }
            store(dx, run_at(chunk, r), here.end, wide, h[r]);
        }
    }
}

} // namespace

#define INSTANCE_NORM(T)                                                                        \
    KERNEL(instance_norm_moments_##T, planes::THREADS, const T *x, float2 *sums, CUT) {         \
        moments(x, sums, THE_CUT);                                                              \
    }                                                                                           \
    KERNEL(instance_norm_apply_##T, planes::THREADS, const T *x, const float2 *sums, T *y,      \
           float eps, float slope, CUT) {                                                       \
        normalise(x, sums, y, eps, slope, THE_CUT);                                             \
    }                                                                                           \
    KERNEL(instance_norm_open_##T, planes::THREADS, const T *y, const T *grad, float2 *sums,    \
           float slope, CUT) {                                                                  \
        open(y, grad, sums, slope, THE_CUT);                                                    \
    }                                                                                           \
    KERNEL(instance_norm_close_##T, planes::THREADS, const T *y, const T *grad,                 \
           const float2 *moments, const float *sums, T *dx, float eps, float slope, CUT) {      \
        close(y, grad, moments, sums, dx, eps, slope, THE_CUT);                                 \
    }

INSTANCE_NORM(f32)
INSTANCE_NORM(bf16)
INSTANCE_NORM(f16)
