// 3×3 convolution at stride 1 on tensor cores, as implicit GEMM: no im2col buffer.
//
// A block computes a tile of 64 outputs × 8×32 pixels; each of its four warps all 64 outputs of
// 4×16 pixels. The reduction takes 16 inputs per stage, nine taps each: 288 mma per warp between
// two barriers. Shared memory is double-buffered: the packed weights in the order of the lanes'
// fragments (conv_pack.cu; cp.async), 18 KB, and the pixels with their halo, channels last
// (conv_image.cuh), 11 KB. The pixels go through registers: a third of the next stage is loaded
// before each of the three columns of taps and stored after it, so that the mma hide the latency.
// For a column of taps a warp reads 6 rows of pixels once and uses them for all three taps. Two
// blocks share a multiprocessor (128 accumulators per thread).
//
// Of a row's 16 pixels one matrix takes pixels 4i and 4i + 1, the other the rest. So a lane ends
// with four adjacent pixels, and the stores of eight outputs' rows are coalesced into whole
// sectors.
//
// Where there are few blocks and many inputs, the reduction is split (split-K): partial sums are
// written in f32 and added up by conv_split_k.cu.
#include "conv_image.cuh"

namespace {

constexpr uint32_t THREADS = 128, TAPS = 9, OUTPUTS = 64, INPUTS = 16;
// Pixels per block, and per warp.
constexpr uint32_t ROWS = 8, COLUMNS = 32, WARP_ROWS = 4, WARP_COLUMNS = 16;
// The halo: columns from two before the tile's first on, rows from one before.
constexpr uint32_t PITCH = COLUMNS + 4, PLANE = (ROWS + 2) * PITCH;
// In 16-byte pieces.
constexpr uint32_t WEIGHTS = TAPS * OUTPUTS * INPUTS / 8, STAGE = WEIGHTS + 2 * PLANE;
// Pairs of pixels of eight channels.
constexpr uint32_t PAIRS = PITCH / 2, FETCHES = INPUTS / 8 * (ROWS + 2) * PAIRS;
static_assert(FETCHES <= 3 * THREADS, "a stage is fetched while three columns of taps are added");

// Swizzle: eight adjacent pixels 4i + {0, 1}, from any column on, are in different banks.
DEVICE uint32_t place(uint32_t column) { return column ^ (column >> 3 & 1) << 1; }

// The input tile of a block: of one image, around the pixel (row, column).
template <class T> struct Source {
    const T *image;
    Extent of;
    uint32_t row, column;

    DEVICE void start(uint32_t (&words)[8], uint32_t chunk, uint32_t third) const {
        const uint32_t at = third * THREADS + threadIdx.x;
        if (at >= FETCHES) return;
        const uint32_t half = at / PAIRS / (ROWS + 2), down = at / PAIRS % (ROWS + 2);
        fetch(words, image, of, chunk * INPUTS + half * 8, row + down - 1,
              column + 2 * (at % PAIRS) - 2);
    }

    DEVICE void finish(const uint32_t (&words)[8], uint4 *pixels, uint32_t third) const {
        const uint32_t at = third * THREADS + threadIdx.x;
        if (at >= FETCHES) return;
        // Planes and rows are contiguous.
        uint4 *to = pixels + at / PAIRS * PITCH;
        to[place(2 * (at % PAIRS))] = first_piece(words);
        to[place(2 * (at % PAIRS) + 1)] = second_piece(words);
    }
};

DEVICE void start_weights(uint4 *to, const uint4 *weight, uint32_t chunk) {
    const uint4 *from = weight + static_cast<size_t>(chunk) * WEIGHTS;
#pragma unroll
    for (uint32_t i = 0; i < WEIGHTS / THREADS; i++)
        copy_async16_kept(to + i * THREADS + threadIdx.x, from + i * THREADS + threadIdx.x);
    commit_async();
}

// Accumulators `sums[m][row][j]`: outputs 16 m .., pixels of matrix j in this warp's row.
typedef float Sums[4][WARP_ROWS][2][4];

// The warp's mma for the three taps of one column.
template <class T>
DEVICE void column_of_taps(Sums &sums, const uint4 *stage, uint32_t right) {
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const uint32_t n = lane % 8, half = lane / 8 % 2, j = lane / 16;
    const uint32_t column = warp % 2 * WARP_COLUMNS + 4 * (n / 2) + 2 * j + n % 2 + right + 1;
    const uint4 *pixels =
        stage + WEIGHTS + half * PLANE + warp / 2 * WARP_ROWS * PITCH + place(column);
    uint32_t b[WARP_ROWS + 2][4];
#pragma unroll
    for (uint32_t row = 0; row < WARP_ROWS + 2; row++) load_matrices(b[row], pixels + row * PITCH);
#pragma unroll
    for (uint32_t down = 0; down < 3; down++) {
#pragma unroll
        for (uint32_t m = 0; m < 4; m++) {
            const uint4 held = stage[((down * 3 + right) * 4 + m) * WARP + lane];
            const uint32_t a[4] = {held.x, held.y, held.z, held.w};
#pragma unroll
            for (uint32_t row = 0; row < WARP_ROWS; row++) {
                const uint32_t(&pair)[4] = b[row + down];
                mma<T>(sums[m][row][0], a, {pair[0], pair[1]});
                mma<T>(sums[m][row][1], a, {pair[2], pair[3]});
            }
        }
    }
}

template <class Out> struct alignas(4 * sizeof(Out)) Four {
    Out of[4];
};

template <class Out>
DEVICE void write(const Sums &sums, Out *y, const Extent &of, uint32_t row, uint32_t column) {
    const bool aligned = of.width % 4 == 0;
    if (column >= of.width) return;
#pragma unroll
    for (uint32_t m = 0; m < 4; m++) {
#pragma unroll
        for (uint32_t lower = 0; lower < 2; lower++) {
            const uint32_t output = m * 16 + lower * 8;
            if (output >= of.channels) continue;
#pragma unroll
            for (uint32_t r = 0; r < WARP_ROWS; r++) {
                if (row + r >= of.height) continue;
                const float *first = sums[m][r][0] + 2 * lower, *second = sums[m][r][1] + 2 * lower;
                const Four<Out> four = {{narrow<Out>(first[0]), narrow<Out>(first[1]),
                                         narrow<Out>(second[0]), narrow<Out>(second[1])}};
                Out *to = y + output * of.pixels() + static_cast<size_t>(row + r) * of.width + column;
                if (aligned) {
                    *reinterpret_cast<Four<Out> *>(to) = four;
                } else {
#pragma unroll
                    for (uint32_t i = 0; i < 4; i++)
                        if (column + i < of.width) to[i] = four.of[i];
                }
            }
        }
    }
}

// y [splits, images, outputs, height, width]. The block index runs over outputs fastest, so that
// blocks which read the same pixels run at the same time.
template <class T, class Out>
DEVICE void convolve(const T *x, const uint4 *weight, Out *y, const Extent &of, uint32_t outputs,
                     uint32_t images, uint32_t shares) {
    DYNAMIC_SHARED(uint4, memory);
    const uint32_t groups = (outputs + OUTPUTS - 1) / OUTPUTS;
    const uint32_t wide = (of.width + COLUMNS - 1) / COLUMNS, high = (of.height + ROWS - 1) / ROWS;
    const uint32_t group = blockIdx.x % groups, tile = blockIdx.x / groups;
    const uint32_t column = tile % wide * COLUMNS, row = tile / wide % high * ROWS;
    const uint32_t image = tile / wide / high % images, share = tile / wide / high / images;
    const uint32_t chunks = (of.channels + INPUTS - 1) / INPUTS, each = (chunks + shares - 1) / shares;
    const uint32_t begin = min(share * each, chunks), end = min(begin + each, chunks);

    weight += static_cast<size_t>(group) * chunks * WEIGHTS;
    const Source<T> pixels{x + image * of.channels * of.pixels(), of, row, column};
    if (begin < end) {
        // Prologue of the double buffer: no mma hide this latency, so all loads are in flight at
        // once.
        uint32_t words[3][8];
        start_weights(memory, weight, begin);
#pragma unroll
        for (uint32_t third = 0; third < 3; third++) pixels.start(words[third], begin, third);
#pragma unroll
        for (uint32_t third = 0; third < 3; third++)
            pixels.finish(words[third], memory + WEIGHTS, third);
    }

    uint32_t words[8];
    Sums sums = {};
#pragma unroll 1
    for (uint32_t chunk = begin; chunk < end; chunk++) {
        const uint4 *stage = memory + (chunk - begin) % 2 * STAGE;
        uint4 *next = memory + (chunk - begin + 1) % 2 * STAGE;
        const bool more = chunk + 1 < end;
        wait_async<0>();
        __syncthreads();
        if (more) start_weights(next, weight, chunk + 1);
#pragma unroll
        for (uint32_t right = 0; right < 3; right++) {
            if (more) pixels.start(words, chunk + 1, right);
            column_of_taps<T>(sums, stage, right);
            if (more) pixels.finish(words, next + WEIGHTS, right);
        }
    }

    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const uint32_t first = group * OUTPUTS + lane / 4;
    if (first >= outputs) return;
    const Extent left = {outputs - first, of.height, of.width, of.pairs};
    y += ((static_cast<size_t>(share) * images + image) * outputs + first) * of.pixels();
    write(sums, y, left, row + warp / 2 * WARP_ROWS,
          column + warp % 2 * WARP_COLUMNS + 4 * (lane % 4));
}

} // namespace

#define CONVOLVE(T)                                                                               \
    KERNEL(conv_tensor_##T, 128, const T *x, const uint4 *weight, T *y, uint32_t inputs,          \
           uint32_t outputs, uint32_t height, uint32_t width, uint32_t pairs, uint32_t images) {  \
        convolve(x, weight, y, Extent{inputs, height, width, pairs}, outputs, images, 1);         \
    }                                                                                             \
    KERNEL(conv_tensor_split_k_##T, 128, const T *x, const uint4 *weight, float *y,                \
           uint32_t inputs, uint32_t outputs, uint32_t height, uint32_t width, uint32_t pairs,    \
           uint32_t images, uint32_t shares) {                                                    \
        convolve(x, weight, y, Extent{inputs, height, width, pairs}, outputs, images, shares);    \
    }

CONVOLVE(bf16)
CONVOLVE(f16)
