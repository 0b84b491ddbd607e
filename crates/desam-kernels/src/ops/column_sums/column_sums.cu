// Column sums of a matrix in a fixed order: one block per chunk of rows and 128 columns, every
// eighth row to each of its eight warps, four columns per lane. The sums of the chunks are an f32
// matrix again, which the same kernel reduces until one chunk is left.
#include "wide.cuh"

namespace {

constexpr unsigned COLUMNS = 4 * WARP, WARPS = 8;

template <class In>
DEVICE void sums(const In *x, float *y, uint32_t rows, uint32_t width, uint32_t each) {
    SHARED(float, shared, WARPS * COLUMNS);
    const uint32_t tiles = (width + COLUMNS - 1) / COLUMNS;
    const uint32_t part = blockIdx.x / tiles, first = blockIdx.x % tiles * COLUMNS;
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const uint32_t c = first + 4 * lane, count = left(width, c);
    const bool whole = in_fours(x, width);
    const uint32_t end = min(rows, (part + 1) * each);
    float sum[4] = {0, 0, 0, 0};
#pragma unroll 8
    for (uint32_t row = part * each + warp; row < end; row += WARPS) {
        const Four a = load_some(x + static_cast<size_t>(row) * width + c, count, whole);
#pragma unroll
        for (unsigned i = 0; i < 4; i++) sum[i] += a.v[i];
    }
#pragma unroll
    for (unsigned i = 0; i < 4; i++) shared[warp * COLUMNS + 4 * lane + i] = sum[i];
    __syncthreads();
    if (threadIdx.x >= COLUMNS || first + threadIdx.x >= width) return;
    float total = 0;
#pragma unroll
    for (unsigned w = 0; w < WARPS; w++) total += shared[w * COLUMNS + threadIdx.x];
    y[static_cast<size_t>(part) * width + first + threadIdx.x] = total;
}

} // namespace

#define COLUMN_SUMS(In)                                                                   \
    KERNEL(column_sums_##In, 256, const In *x, float *y, uint32_t rows, uint32_t width,    \
           uint32_t each) {                                                               \
        sums(x, y, rows, width, each);                                                    \
    }

COLUMN_SUMS(f32)
COLUMN_SUMS(bf16)
COLUMN_SUMS(f16)
