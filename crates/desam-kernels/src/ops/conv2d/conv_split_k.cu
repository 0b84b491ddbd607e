// The second stage of a split-K reduction: adds up the partial sums, in a fixed order.
//
// The splits of one element are far apart, and there may be few elements and many splits. So the warps
// of a block take `parts` chunks of the splits of the same elements, with eight loads in flight, and
// the sums of the chunks are added in order.
#include "device.cuh"

namespace {

constexpr uint32_t THREADS = 256;

struct Sizes {
    uint32_t outputs, inputs, taps, rows, columns, shares, parts;
};

// weight [outputs, inputs, taps] from partial [splits][rows][taps][columns]; `rows` and `columns` are
// at least `outputs` and `inputs`.
template <class T> DEVICE void add(const float *partial, T *weight, const Sizes &of) {
    SHARED(float, sums, THREADS);
    const uint32_t numbers = THREADS / of.parts, part = threadIdx.x / numbers;
    const size_t at = static_cast<size_t>(blockIdx.x) * numbers + threadIdx.x % numbers;
    const size_t row = at / of.inputs;
    const uint32_t input = at % of.inputs, tap = row % of.taps, output = row / of.taps;
    const bool known = row < static_cast<size_t>(of.outputs) * of.taps;

    const size_t share = static_cast<size_t>(of.rows) * of.taps * of.columns;
    const uint32_t each = (of.shares + of.parts - 1) / of.parts;
    const uint32_t end = min((part + 1) * each, of.shares);
    const float *from = partial + (static_cast<size_t>(output) * of.taps + tap) * of.columns + input;
    float sum = 0;
    uint32_t i = known ? part * each : end;
    for (; i + 8 <= end; i += 8) {
        float seen[8];
#pragma unroll
        for (uint32_t j = 0; j < 8; j++) seen[j] = from[(i + j) * share];
#pragma unroll
        for (uint32_t j = 0; j < 8; j++) sum += seen[j];
    }
    for (; i < end; i++) sum += from[i * share];
    if (of.parts > 1) {
        sums[threadIdx.x] = sum;
        __syncthreads();
        sum = 0;
        for (uint32_t p = 0; p < of.parts; p++) sum += sums[p * numbers + threadIdx.x % numbers];
    }
    if (known && part == 0)
        weight[(static_cast<size_t>(output) * of.inputs + input) * of.taps + tap] = narrow<T>(sum);
}

} // namespace

#define ADD(T)                                                                                     \
    KERNEL(conv_split_k_##T, 256, const float *partial, T *weight, uint32_t outputs, uint32_t inputs, \
           uint32_t taps, uint32_t rows, uint32_t columns, uint32_t shares, uint32_t parts) {      \
        add(partial, weight, Sizes{outputs, inputs, taps, rows, columns, shares, parts});          \
    }

ADD(f32)
ADD(bf16)
ADD(f16)
