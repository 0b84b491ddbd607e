// Matrix transpose, and square patches of pixels gathered into rows (im2col without overlap).
#include "wide.cuh"

namespace {

constexpr unsigned ROWS = 64, COLUMNS = 32, WARPS = 8;

// x [images, rows, columns] → y [images, columns, rows]: one block per tile of 64 rows and 32 columns,
// transposed through shared memory, so that loads and stores are both coalesced.
template <class T>
DEVICE void transpose(const T *x, T *y, uint32_t rows, uint32_t columns) {
    SHARED(float, tile, ROWS * (COLUMNS + 1));
    const uint32_t down = (rows + ROWS - 1) / ROWS, across = (columns + COLUMNS - 1) / COLUMNS;
    const uint32_t image = blockIdx.x / (down * across), in_image = blockIdx.x % (down * across);
    const uint32_t row = in_image / across * ROWS, column = in_image % across * COLUMNS;
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const size_t begin = static_cast<size_t>(image) * rows * columns;
    x += begin;
    y += begin;
#pragma unroll
    for (unsigned r = warp; r < ROWS; r += WARPS) {
        const bool inside = row + r < rows && column + lane < columns;
        const size_t at = static_cast<size_t>(row + r) * columns + column + lane;
        tile[r * (COLUMNS + 1) + lane] = inside ? widen(x[at]) : 0.0f;
    }
    __syncthreads();
#pragma unroll
    for (unsigned c = warp; c < COLUMNS; c += WARPS) {
#pragma unroll
        for (unsigned r = lane; r < ROWS; r += WARP) {
            if (row + r >= rows || column + c >= columns) continue;
            const size_t at = static_cast<size_t>(column + c) * rows + row + r;
            y[at] = narrow<T>(tile[r * (COLUMNS + 1) + c]);
        }
    }
}

// Sizes of pixels [images, channels, height, width].
struct Pixels {
    uint32_t channels, height, width, side;
};

// x → y [images, height / side, width / side, channels · side²]: one thread per up to four elements of
// a patch's line.
template <class T> DEVICE void patches(const T *x, T *y, const Pixels &size, uint32_t work) {
    uint32_t at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= work) return;
    const uint32_t side = size.side, runs = (side + 3) / 4;
    const uint32_t run = at % runs * 4;
    at /= runs;
    // Lines of patches are adjacent in y.
    const size_t to = static_cast<size_t>(at) * side + run;
    const uint32_t line = at % side;
    at /= side;
    const uint32_t channel = at % size.channels;
    at /= size.channels;
    const uint32_t across = size.width / side, down = size.height / side;
    const uint32_t column = at % across * side;
    at /= across;
    const uint32_t row = at % down * side + line, image = at / down;
    const size_t plane = static_cast<size_t>(image) * size.channels + channel;
    const size_t from = (plane * size.height + row) * size.width + column + run;
    const bool whole = side % 4 == 0 && in_fours(x, size.width) && in_fours(y, 4);
    const uint32_t count = min(side - run, 4u);
    store_some(y + to, load_some(x + from, count, whole), count, whole);
}

} // namespace

#define TURN(T)                                                                               \
    KERNEL(layout_transpose_##T, 256, const T *x, T *y, uint32_t rows, uint32_t columns) {         \
        transpose(x, y, rows, columns);                                                            \
    }
#define PATCHES(T)                                                                            \
    KERNEL(layout_patches_##T, 256, const T *x, T *y, uint32_t channels, uint32_t height,     \
           uint32_t width, uint32_t side, uint32_t work) {                                    \
        patches(x, y, Pixels{channels, height, width, side}, work);                           \
    }

TURN(f32)
TURN(bf16)
TURN(f16)
PATCHES(f32)
PATCHES(bf16)
PATCHES(f16)
