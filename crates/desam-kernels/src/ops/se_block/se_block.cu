// The residual sum at the end of PIMM's residual block, y = leaky(gate · norm(main) + shortcut), forward
// and backward. The shortcut is a convolution behind its own norm, or the block's input (no moments
// then). ../instance_norm/planes.cuh describes the partition of planes.
//
// Forward, one pass: main and the other are read, y is written. Backward, two passes over y, ∂y and
// the other: three sums, then the gradients before both norms. The gated norm's output is not stored;
// it is (y before the rectifier - shortcut) / gate.
#include "../instance_norm/planes.cuh"

namespace {

using namespace planes;

// Parameters of the residual sum, where both branches meet.
struct Meeting {
    float eps, gate, slope;
};

DEVICE Moments shortcut_moments(const float2 *sums, size_t plane, const Cut &cut, float eps) {
    if (sums == nullptr) return {0.0f, 1.0f};
    return moments_of(sums, plane, cut, eps);
}

// `y` may overwrite `main`.
template <class T>
DEVICE void add_residual(const T *main, const float2 *main_sums, const T *other, const float2 *other_sums,
                 T *y, const Meeting &at, const Cut &cut) {
    const Place here = place<true>(cut);
    const bool wide = aligned(cut, main, other, y);
    const Moments norm = moments_of(main_sums, here.plane, cut, at.eps);
    const Moments other_norm = shortcut_moments(other_sums, here.plane, cut, at.eps);
    const float gated = at.gate * norm.scale;
    main += here.begin;
    other += here.begin;
    y += here.begin;
    for (uint32_t chunk = here.first; chunk < here.end; chunk += CHUNK) {
        float m[RUNS][RUN], o[RUNS][RUN];
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            load(main, run_at(chunk, r), here.end, wide, m[r]);
            load(other, run_at(chunk, r), here.end, wide, o[r]);
        }
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            for (uint32_t i = 0; i < RUN; i++) {
                const float shortcut = (o[r][i] - other_norm.mean) * other_norm.scale;
                const float sum = (m[r][i] - norm.mean) * gated + shortcut;
                m[r][i] = rectified(sum, at.slope);
            }
            store(y, run_at(chunk, r), here.end, wide, m[r]);
        }
    }
}

// With d the gradient of the sum, n the gated norm's output and s the shortcut: the sums of d,
// of d · n and of d · s.
template <class T>
DEVICE void open(const T *y, const T *grad, const T *other, const float2 *other_sums, float *sums,
                 const Meeting &at, const Cut &cut) {
    const Place here = place<false>(cut);
    const bool wide = aligned(cut, y, grad, other);
    const Moments norm = shortcut_moments(other_sums, here.plane, cut, at.eps);
    const float steep = 1.0f / at.slope, ungated = 1.0f / at.gate;
    y += here.begin;
    grad += here.begin;
    other += here.begin;
    float sum[3] = {0, 0, 0};
    for (uint32_t chunk = here.first; chunk < here.end; chunk += CHUNK) {
        float v[RUNS][RUN], g[RUNS][RUN], o[RUNS][RUN];
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            load(y, run_at(chunk, r), here.end, wide, v[r]);
            load(grad, run_at(chunk, r), here.end, wide, g[r]);
            load(other, run_at(chunk, r), here.end, wide, o[r]);
        }
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++)
            for (uint32_t i = 0; i < RUN; i++) {
                const float d = before_rectifier(v[r][i], g[r][i], at.slope);
                const float shortcut = (o[r][i] - norm.mean) * norm.scale;
                sum[0] += d;
                sum[1] += d * ((unrectified(v[r][i], steep) - shortcut) * ungated);
                sum[2] += d * shortcut;
            }
    }
    block_sums(sum);
    if (threadIdx.x == 0)
        for (uint32_t i = 0; i < 3; i++) sums[(here.plane * cut.parts + here.part) * 3 + i] = sum[i];
}

// The gradients before both norms; that of the shortcut may overwrite `other`, and is not
// wanted where there is no norm.
template <class T>
DEVICE void close(const T *y, const T *grad, const T *other, const float2 *main_sums,
                  const float2 *other_sums, const float *sums, T *d_main, T *d_other,
                  const Meeting &at, const Cut &cut) {
    const Place here = place<true>(cut);
    const bool wide = aligned(cut, y, grad, other, d_main, d_other);
    const Moments norm = shortcut_moments(other_sums, here.plane, cut, at.eps);
    const float gated = at.gate * moments_of(main_sums, here.plane, cut, at.eps).scale;
    const float mean = mean_of(sums, here.plane, cut, 3);
    const float along_main = mean_of(sums + 1, here.plane, cut, 3);
    const float along_other = mean_of(sums + 2, here.plane, cut, 3);
    const float steep = 1.0f / at.slope, ungated = 1.0f / at.gate;
    y += here.begin;
    grad += here.begin;
    other += here.begin;
    d_main += here.begin;
    for (uint32_t chunk = here.first; chunk < here.end; chunk += CHUNK) {
        float v[RUNS][RUN], g[RUNS][RUN], o[RUNS][RUN];
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            load(y, run_at(chunk, r), here.end, wide, v[r]);
            load(grad, run_at(chunk, r), here.end, wide, g[r]);
            load(other, run_at(chunk, r), here.end, wide, o[r]);
        }
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            for (uint32_t i = 0; i < RUN; i++) {
                const float d = before_rectifier(v[r][i], g[r][i], at.slope) - mean;
                const float shortcut = (o[r][i] - norm.mean) * norm.scale;
                const float n = (unrectified(v[r][i], steep) - shortcut) * ungated;
                v[r][i] = gated * (d - n * along_main);
                o[r][i] = norm.scale * (d - shortcut * along_other);
            }
            store(d_main, run_at(chunk, r), here.end, wide, v[r]);
            if (d_other != nullptr)
                store(d_other + here.begin, run_at(chunk, r), here.end, wide, o[r]);
        }
    }
}

// The gradient of the block's input where the shortcut is the input itself: that of the first
// convolution's input, which it overwrites, plus that of the sum.
template <class T>
DEVICE void add_open(const T *y, const T *grad, T *dx, float slope, const Cut &cut) {
    const Place here = place<true>(cut);
    const bool wide = aligned(cut, y, grad, dx);
    y += here.begin;
    grad += here.begin;
    dx += here.begin;
    for (uint32_t chunk = here.first; chunk < here.end; chunk += CHUNK) {
        float v[RUNS][RUN], g[RUNS][RUN], x[RUNS][RUN];
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            load(y, run_at(chunk, r), here.end, wide, v[r]);
            load(grad, run_at(chunk, r), here.end, wide, g[r]);
            load(dx, run_at(chunk, r), here.end, wide, x[r]);
        }
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            for (uint32_t i = 0; i < RUN; i++)
                x[r][i] += before_rectifier(v[r][i], g[r][i], slope);
            store(dx, run_at(chunk, r), here.end, wide, x[r]);
        }
    }
}

// The sum of both convolutions' input gradients [B, C, H, W], split by channels: those before
// `before` to `first`, the others to `second`. Either may be null: its gradient is not wanted then. `first` may
// be `a` where all channels belong to it.
template <class T>
DEVICE void add(const T *a, const T *b, T *first, T *second, uint32_t before, uint32_t channels,
                const Cut &cut) {
    const Place here = place<true>(cut);
    const size_t image = here.plane / channels;
    const uint32_t channel = static_cast<uint32_t>(here.plane - image * channels);
    const bool begins = channel < before;
    T *out = begins ? first : second;
    if (out == nullptr) return;
    const bool wide = aligned(cut, a, b, out);
    out += (begins ? image * before + channel : image * (channels - before) + channel - before) *
           cut.pixels;
    a += here.begin;
    b += here.begin;
    for (uint32_t chunk = here.first; chunk < here.end; chunk += CHUNK) {
        float x[RUNS][RUN], y[RUNS][RUN];
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            load(a, run_at(chunk, r), here.end, wide, x[r]);
            load(b, run_at(chunk, r), here.end, wide, y[r]);
        }
#pragma unroll
        for (uint32_t r = 0; r < RUNS; r++) {
            for (uint32_t i = 0; i < RUN; i++) x[r][i] += y[r][i];
            store(out, run_at(chunk, r), here.end, wide, x[r]);
        }
    }
}

} // namespace

#define SE_BLOCK(T)                                                                             \
    KERNEL(se_block_add_residual_##T, planes::THREADS, const T *main, const float2 *main_sums,          \
           const T *other, const float2 *other_sums, T *y, float eps, float gate, float slope,  \
           CUT) {                                                                               \
        add_residual(main, main_sums, other, other_sums, y, {eps, gate, slope}, THE_CUT);               \
    }                                                                                           \
    KERNEL(se_block_open_##T, planes::THREADS, const T *y, const T *grad, const T *other,       \
           const float2 *other_sums, float *sums, float eps, float gate, float slope, CUT) {    \
        open(y, grad, other, other_sums, sums, {eps, gate, slope}, THE_CUT);                    \
    }                                                                                           \
    KERNEL(se_block_close_##T, planes::THREADS, const T *y, const T *grad, const T *other,      \
           const float2 *main_sums, const float2 *other_sums, const float *sums, T *d_main,     \
           T *d_other, float eps, float gate, float slope, CUT) {                               \
        close(y, grad, other, main_sums, other_sums, sums, d_main, d_other, {eps, gate, slope}, \
              THE_CUT);                                                                         \
    }                                                                                           \
    KERNEL(se_block_add_open_##T, planes::THREADS, const T *y, const T *grad, T *dx,            \
           float slope, CUT) {                                                                  \
        add_open(y, grad, dx, slope, THE_CUT);                                                  \
    }                                                                                           \
    KERNEL(se_block_add_##T, planes::THREADS, const T *a, const T *b, T *first, T *second,      \
           uint32_t before, uint32_t channels, CUT) {                                           \
        add(a, b, first, second, before, channels, THE_CUT);                                    \
    }

SE_BLOCK(f32)
SE_BLOCK(bf16)
SE_BLOCK(f16)
