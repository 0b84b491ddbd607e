// Direct convolution of any odd kernel size at stride 1, one thread per output element: for shapes that
// the implicit-GEMM kernels do not take. Accumulates in f32.
#include "device.cuh"

namespace {

// y [images, outputs, height, width] from x [images, inputs, height, width]. The weight of
// (output, input, tap) is weight[output · of_output + input · of_input + tap]; with `flipped`, that of
// the tap mirrored at the centre.
template <class T>
DEVICE void convolve(const T *x, const T *weight, T *y, uint32_t images, uint32_t inputs,
                     uint32_t outputs, uint32_t height, uint32_t width, uint32_t side,
                     uint32_t of_output, uint32_t of_input, uint32_t flipped) {
    const size_t pixels = static_cast<size_t>(height) * width;
    const size_t at = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at >= pixels * images * outputs) return;
    const uint32_t row = at % pixels / width, column = at % pixels % width;
    const uint32_t output = at / pixels % outputs, taps = side * side;
    const T *image = x + at / pixels / outputs * inputs * pixels;
    const T *of = weight + static_cast<size_t>(output) * of_output;
    float sum = 0;
    for (uint32_t i = 0; i < inputs; i++) {
        const T *plane = image + i * pixels;
        for (uint32_t tap = 0; tap < taps; tap++) {
            // Beyond an edge these wrap around to large values, which the check rejects too.
            const uint32_t r = row + tap / side - side / 2, c = column + tap % side - side / 2;
            if (r >= height || c >= width) continue;
            const size_t number = static_cast<size_t>(i) * of_input + (flipped ? taps - 1 - tap : tap);
            sum += widen(plane[static_cast<size_t>(r) * width + c]) * widen(of[number]);
        }
    }
    y[at] = narrow<T>(sum);
}

// Weight gradient [outputs, inputs, side, side] in f32, one block per element.
template <class T>
DEVICE void correlate(const T *grad, const T *x, float *weight, uint32_t images, uint32_t inputs,
                      uint32_t outputs, uint32_t height, uint32_t width, uint32_t side) {
    const uint32_t taps = side * side, tap = blockIdx.x % taps;
    const uint32_t input = blockIdx.x / taps % inputs, output = blockIdx.x / taps / inputs;
    const uint32_t down = tap / side - side / 2, right = tap % side - side / 2;
    const size_t pixels = static_cast<size_t>(height) * width;
    float sum = 0;
    for (uint32_t image = 0; image < images; image++) {
        const T *g = grad + (static_cast<size_t>(image) * outputs + output) * pixels;
        const T *seen = x + (static_cast<size_t>(image) * inputs + input) * pixels;
        for (size_t p = threadIdx.x; p < pixels; p += blockDim.x) {
            const uint32_t r = static_cast<uint32_t>(p / width) + down;
            const uint32_t c = static_cast<uint32_t>(p % width) + right;
            if (r < height && c < width)
                sum += widen(g[p]) * widen(seen[static_cast<size_t>(r) * width + c]);
        }
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) weight[blockIdx.x] = sum;
}

} // namespace

#define CONVOLVE(T)                                                                                \
    KERNEL(conv_direct_##T, 256, const T *x, const T *weight, T *y, uint32_t images,               \
           uint32_t inputs, uint32_t outputs, uint32_t height, uint32_t width, uint32_t side,      \
           uint32_t of_output, uint32_t of_input, uint32_t flipped) {                               \
        convolve(x, weight, y, images, inputs, outputs, height, width, side, of_output, of_input,  \
                 flipped);                                                                          \
    }                                                                                              \
    KERNEL(conv_direct_weight_##T, 256, const T *grad, const T *x, float *weight, uint32_t images, \
           uint32_t inputs, uint32_t outputs, uint32_t height, uint32_t width, uint32_t side) {    \
        correlate(grad, x, weight, images, inputs, outputs, height, width, side);                  \
    }

CONVOLVE(f32)
CONVOLVE(bf16)
CONVOLVE(f16)
