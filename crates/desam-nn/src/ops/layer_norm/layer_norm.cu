// Layer norm over the last dimension: a warp a row.
#include "device.cuh"

namespace {

template <class In, class Out>
DEVICE void normalise(const In *x, const float *weight, const float *bias, Out *y, uint32_t rows,
                      uint32_t width, float eps) {
    const uint32_t row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (row >= rows) return;
    const uint32_t lane = threadIdx.x % WARP;
    x += static_cast<size_t>(row) * width;
    y += static_cast<size_t>(row) * width;
    float sum = 0;
    for (uint32_t i = lane; i < width; i += WARP) sum += widen(x[i]);
    const float mean = warp_sum(sum) / width;
    float squares = 0;
    for (uint32_t i = lane; i < width; i += WARP) {
        const float d = widen(x[i]) - mean;
        squares += d * d;
    }
    const float scale = 1.0f / sqrtf(warp_sum(squares) / width + eps);
    for (uint32_t i = lane; i < width; i += WARP)
        y[i] = narrow<Out>((widen(x[i]) - mean) * scale * weight[i] + bias[i]);
}

} // namespace

#define LAYER_NORM(In, Out)                                                                     \
    KERNEL(layer_norm_##In##_##Out, 256, const In *x, const float *weight, const float *bias, \
           Out *y, uint32_t rows, uint32_t width, float eps) {                                  \
        normalise(x, weight, bias, y, rows, width, eps);                                        \
    }


LAYER_NORM(f32, f32)
LAYER_NORM(f32, bf16)
LAYER_NORM(f32, f16)
LAYER_NORM(bf16, bf16)
LAYER_NORM(f16, f16)
