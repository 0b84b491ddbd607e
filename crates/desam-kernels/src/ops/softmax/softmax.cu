// Softmax over the last dimension, forward and backward: one warp per row. Each pass reads the row
// again, from the cache.
#include "device.cuh"

namespace {

constexpr float LOG2_E = 1.44269504f;

// A row of nothing but -inf becomes NaN: -inf less the maximum of -inf is NaN.
template <class T> DEVICE void forward(const T *x, T *y, uint32_t width, uint32_t lane) {
    float top = -INFINITY, sum = 0;
    for (uint32_t i = lane; i < width; i += WARP) top = fmaxf(top, widen(x[i]));
    top = warp_max(top);
    for (uint32_t i = lane; i < width; i += WARP) sum += fast_exp2((widen(x[i]) - top) * LOG2_E);
    const float scale = 1.0f / warp_sum(sum);
    for (uint32_t i = lane; i < width; i += WARP)
        y[i] = narrow<T>(fast_exp2((widen(x[i]) - top) * LOG2_E) * scale);
}

// ∂x = y · (∂y - Σ y ∂y)
template <class T>
DEVICE void backward(const T *y, const T *grad, T *dx, uint32_t width, uint32_t lane) {
    float along = 0;
    for (uint32_t i = lane; i < width; i += WARP) along += widen(y[i]) * widen(grad[i]);
    along = warp_sum(along);
    for (uint32_t i = lane; i < width; i += WARP)
        dx[i] = narrow<T>(widen(y[i]) * (widen(grad[i]) - along));
}

} // namespace

// Offset of the row of this warp; returns if there is none.
#define ROW                                                                     \
    const uint32_t row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP; \
    const uint32_t lane = threadIdx.x % WARP;                                   \
    if (row >= rows) return;                                                    \
    const size_t at = static_cast<size_t>(row) * width

#define SOFTMAX(T)                                                                              \
    KERNEL(softmax_##T, 256, const T *x, T *y, uint32_t rows, uint32_t width) {                 \
        ROW;                                                                                    \
        forward(x + at, y + at, width, lane);                                                   \
    }                                                                                           \
    KERNEL(softmax_backward_##T, 256, const T *y, const T *grad, T *dx, uint32_t rows,              \
           uint32_t width) {                                                                    \
        ROW;                                                                                    \
        backward(y + at, grad + at, dx + at, width, lane);                                      \
    }

SOFTMAX(f32)
SOFTMAX(bf16)
SOFTMAX(f16)
