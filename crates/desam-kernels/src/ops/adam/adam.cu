// Multi-tensor kernels of the optimizer, over all parameters at once: Adam's step, the gradient norm,
// the exponential moving average of the parameters. Each is one launch over a table of the parameters.
//
// A row of the table: the index of the parameter's first block, its number of elements, then the
// pointers of the kernel. A block takes CHUNK elements of one parameter and finds its row by binary
// search. The kernels are memory-bound: 28 bytes per element for a step, 4 for the norm, 12 for the
// average; accesses take 16 bytes where pointers are aligned.
//
// Products and sums are rounded one by one (no fused multiply-add), in the order of the CPU's loop, so
// that a step gives the same bits as on the CPU.
#include "device.cuh"

namespace {

constexpr uint32_t THREADS = 256;
constexpr uint32_t CHUNK = 4096;

struct alignas(16) Four {
    float at[4];
};

// The chunk of a parameter that a block works on.
struct Piece {
    const uint32_t *pointers;
    size_t begin, end;

    template <class T> DEVICE T *pointer(uint32_t which) const {
        const uint64_t low = pointers[2 * which], high = pointers[2 * which + 1];
        return reinterpret_cast<T *>(static_cast<uintptr_t>(low | high << 32));
    }
};

// Finds the block's chunk in a table with this number of pointers a row.
DEVICE Piece piece_of_block(const uint32_t *table, uint32_t rows, uint32_t pointers) {
    const uint32_t width = 2 + 2 * pointers, block = blockIdx.x;
    uint32_t low = 0, high = rows;
    // Binary search for the last row that begins at or before this block.
    while (high - low > 1) {
        const uint32_t middle = (low + high) / 2;
        if (table[static_cast<size_t>(middle) * width] <= block) low = middle;
        else high = middle;
    }
    const uint32_t *row = table + static_cast<size_t>(low) * width;
    const size_t begin = static_cast<size_t>(block - row[0]) * CHUNK, count = row[1];
    return {row + 2, begin, begin + CHUNK < count ? begin + CHUNK : count};
}

DEVICE bool aligned(const void *p) { return reinterpret_cast<uintptr_t>(p) % sizeof(Four) == 0; }

struct Factors {
    float keep1, keep2, take1, take2, by_correction, epsilon, rate, kept, scale;
};

DEVICE void step(const Factors &f, float &value, float grad, float &first, float &second) {
    const float g = __fmul_rn(grad, f.scale);
    first = __fadd_rn(__fmul_rn(first, f.keep1), __fmul_rn(g, f.take1));
    second = __fadd_rn(__fmul_rn(second, f.keep2), __fmul_rn(__fmul_rn(g, g), f.take2));
    const float root = __fadd_rn(__fmul_rn(__fsqrt_rn(second), f.by_correction), f.epsilon);
    value = __fsub_rn(__fmul_rn(value, f.kept), __fdiv_rn(__fmul_rn(first, f.rate), root));
}

DEVICE double square(float x) { return static_cast<double>(x) * static_cast<double>(x); }

} // namespace

// Pointers: parameter, gradient, first moment, second moment.
KERNEL(adam_step, THREADS, const uint32_t *table, uint32_t rows, float keep1, float keep2,
       float take1, float take2, float by_correction, float epsilon, float rate, float kept,
       float scale) {
    const Factors f = {keep1, keep2, take1, take2, by_correction, epsilon, rate, kept, scale};
    const Piece piece = piece_of_block(table, rows, 4);
    float *values = piece.pointer<float>(0);
    const float *grads = piece.pointer<const float>(1);
    float *firsts = piece.pointer<float>(2), *seconds = piece.pointer<float>(3);
    size_t i = piece.begin + threadIdx.x;
    if (aligned(values) && aligned(grads) && aligned(firsts) && aligned(seconds)) {
        const size_t fours = (piece.end - piece.begin) / 4;
        const size_t from = piece.begin / 4;
        for (size_t k = threadIdx.x; k < fours; k += THREADS) {
            const Four grad = reinterpret_cast<const Four *>(grads)[from + k];
            Four value = reinterpret_cast<Four *>(values)[from + k];
            Four first = reinterpret_cast<Four *>(firsts)[from + k];
            Four second = reinterpret_cast<Four *>(seconds)[from + k];
#pragma unroll
            for (int j = 0; j < 4; j++)
                step(f, value.at[j], grad.at[j], first.at[j], second.at[j]);
            reinterpret_cast<Four *>(values)[from + k] = value;
            reinterpret_cast<Four *>(firsts)[from + k] = first;
            reinterpret_cast<Four *>(seconds)[from + k] = second;
        }
        i += fours * 4;
    }
    for (; i < piece.end; i += THREADS) step(f, values[i], grads[i], firsts[i], seconds[i]);
}

// Pointers: the tensor. Squares of f32 are exact in double precision. One partial sum per block.
KERNEL(square_sum, THREADS, const uint32_t *table, uint32_t rows, double *sums) {
    const Piece piece = piece_of_block(table, rows, 1);
    const float *numbers = piece.pointer<const float>(0);
    size_t i = piece.begin + threadIdx.x;
    double sum = 0;
    if (aligned(numbers)) {
        const size_t fours = (piece.end - piece.begin) / 4;
        const size_t from = piece.begin / 4;
        for (size_t k = threadIdx.x; k < fours; k += THREADS) {
            const Four x = reinterpret_cast<const Four *>(numbers)[from + k];
#pragma unroll
            for (int j = 0; j < 4; j++) sum += square(x.at[j]);
        }
        i += fours * 4;
    }
    for (; i < piece.end; i += THREADS) sum += square(numbers[i]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// Adds up the blocks' partial sums, in one block.
KERNEL(square_sum_total, THREADS, const double *sums, uint32_t count, double *total) {
    double sum = 0;
    for (uint32_t i = threadIdx.x; i < count; i += THREADS) sum += sums[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *total = sum;
}

// Pointers: the average, the parameter. Moves the average by the fraction `rest` towards the parameter.
KERNEL(running_mean, THREADS, const uint32_t *table, uint32_t rows, float rest) {
    const Piece piece = piece_of_block(table, rows, 2);
    float *means = piece.pointer<float>(0);
    const float *values = piece.pointer<const float>(1);
    for (size_t i = piece.begin + threadIdx.x; i < piece.end; i += THREADS) {
        const float mean = means[i];
        means[i] = __fadd_rn(mean, __fmul_rn(__fsub_rn(values[i], mean), rest));
    }
}
