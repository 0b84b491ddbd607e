// The second stage of a kernel's gradient: shares of the pixels are added in their order.
#include "device.cuh"

namespace {

// weight [outputs, inputs, taps] from partial [shares][rows][taps][columns], a thread an input of an
// output; `rows` and `columns` are at least `outputs` and `inputs`.
template <class T>
DEVICE void add(const float *partial, T *weight, uint32_t outputs, uint32_t inputs, uint32_t taps,
                uint32_t rows, uint32_t columns, uint32_t shares) {
    const size_t at = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const uint32_t input = at % inputs, output = at / inputs;
    if (output >= outputs) return;
    const size_t share = static_cast<size_t>(rows) * taps * columns;
    for (uint32_t tap = 0; tap < taps; tap++) {
        const float *from = partial + (static_cast<size_t>(output) * taps + tap) * columns + input;
        float sum = 0;
        for (uint32_t i = 0; i < shares; i++) sum += from[i * share];
        weight[at * taps + tap] = narrow<T>(sum);
    }
}

} // namespace

#define ADD(T)                                                                                    \
    KERNEL(conv_sums_##T, 256, const float *partial, T *weight, uint32_t outputs, uint32_t inputs, \
           uint32_t taps, uint32_t rows, uint32_t columns, uint32_t shares) {                     \
        add(partial, weight, outputs, inputs, taps, rows, columns, shares);                       \
    }

ADD(f32)
ADD(bf16)
ADD(f16)
