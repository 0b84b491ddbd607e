// Epilogue of a matrix product: bias, residual, and the layer norm of the sum, in one pass. One
// warp per row, held in registers (up to 128 · STEPS elements), as in ops/layer_norm.
#include "../layer_norm/moments.cuh"

namespace {

// sum ← to + (y + bias), if it is wanted; y ← its norm. `to` is repeated every `period` rows.
template <class T, class B, class To> struct Parts {
    T *y;
    const B *bias;
    const To *to;
    To *sum;
    const float *weight, *shift;
    uint32_t width;
    float eps;
};

template <unsigned STEPS, class T, class B, class To>
DEVICE void normed(const Parts<T, B, To> &p, uint32_t lane) {
    const uint32_t width = p.width;
    const bool whole = in_fours(p.y, width) && in_fours(p.bias, width) && in_fours(p.to, width) &&
                       in_fours(p.sum, width) && in_fours(p.weight, width) &&
                       in_fours(p.shift, width);
    Four x[STEPS];
#pragma unroll
    for (unsigned s = 0; s < STEPS; s++) {
        const uint32_t c = (s * WARP + lane) * 4, count = left(width, c);
        x[s] = load_some(p.y + c, count, whole);
        const Four z = load_some(p.to + c, count, whole);
        const Four b = load_some(p.bias + c, p.bias == nullptr ? 0 : count, whole);
#pragma unroll
        for (unsigned i = 0; i < 4; i++) x[s].v[i] = z.v[i] + (x[s].v[i] + b.v[i]);
    }
    // Stored after all loads, which an earlier store would stall.
    if (p.sum != nullptr) {
#pragma unroll
        for (unsigned s = 0; s < STEPS; s++) {
            const uint32_t c = (s * WARP + lane) * 4;
            store_some(p.sum + c, x[s], left(width, c), whole);
        }
    }
    const Moments m = moments(x, width, lane, p.eps);
#pragma unroll
    for (unsigned s = 0; s < STEPS; s++) {
        const uint32_t c = (s * WARP + lane) * 4, count = left(width, c);
        const Four w = load_some(p.weight + c, count, whole);
        const Four b = load_some(p.shift + c, count, whole);
#pragma unroll
        for (unsigned i = 0; i < 4; i++)
            x[s].v[i] = (x[s].v[i] - m.mean) * m.scale * w.v[i] + b.v[i];
        store_some(p.y + c, x[s], count, whole);
    }
}

} // namespace

#define SIZED(size, T, B, To)                                                                   \
    KERNEL(linear_normed_##size##_##T##_##B##_##To, 256, T *y, const B *bias, const To *to,     \
           To *sum, const float *weight, const float *shift, uint32_t rows, uint32_t width,     \
           uint32_t period, float eps) {                                                        \
        const uint32_t row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;             \
        if (row >= rows) return;                                                                \
        const size_t at = static_cast<size_t>(row) * width;                                     \
        const size_t from = static_cast<size_t>(period < rows ? row % period : row) * width;    \
        To *own = sum == nullptr ? sum : sum + at;                                              \
        normed<size>(Parts<T, B, To>{y + at, bias, to + from, own, weight, shift, width, eps},  \
                     threadIdx.x % WARP);                                                       \
    }
#define NORMED(T, B, To) SIZED(2, T, B, To) SIZED(6, T, B, To) SIZED(12, T, B, To)

NORMED(f32, f32, f32)
NORMED(bf16, f32, bf16)
NORMED(bf16, bf16, bf16)
NORMED(bf16, f32, f32)
NORMED(bf16, bf16, f32)
NORMED(f16, f32, f16)
NORMED(f16, f16, f16)
NORMED(f16, f32, f32)
NORMED(f16, f16, f32)
