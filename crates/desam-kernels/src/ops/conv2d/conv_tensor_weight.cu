// Weight gradient of a 3×3 convolution on tensor cores, as implicit GEMM: a reduction over pixels,
// split-K.
//
// A block computes 64 outputs × 32 inputs × nine taps, each of its four warps eight of the inputs, over
// the tiles of 8×32 pixels in its split. Shared memory is double-buffered: the output's gradient as it
// is (cp.async, in pieces of eight pixels), 32 KB, and the pixels with their halo, channels last
// (conv_image.cuh), 23 KB. One mma reduces over 16 pixels of a row; a warp goes down two rows at a
// time, and the rows of pixels under the taps move up with it in registers. 144 accumulators per
// thread; two blocks share a multiprocessor.
//
// conv_split_k.cu adds up the partial sums, in a fixed order.
#include "conv_image.cuh"

namespace {

constexpr uint32_t THREADS = 128, TAPS = 9;
constexpr uint32_t OUTPUTS = 64, INPUTS = 32, ROWS = 8, COLUMNS = 32;
constexpr uint32_t PITCH = COLUMNS + 4, PLANE = (ROWS + 2) * PITCH;
// Pieces of a row of one output's gradient.
constexpr uint32_t PIECES = COLUMNS / 8;
// In 16-byte pieces.
constexpr uint32_t GRADIENT = ROWS * PIECES * OUTPUTS, STAGE = GRADIENT + INPUTS / 8 * PLANE;
// Two rows of one half of the columns.
constexpr uint32_t STEPS = ROWS / 2 * (COLUMNS / 16);
// Pairs of pixels of eight channels, and how often all threads take one.
constexpr uint32_t PAIRS = PITCH / 2, FETCHES = INPUTS / 8 * (ROWS + 2) * PAIRS;
constexpr uint32_t ROUNDS = (FETCHES + THREADS - 1) / THREADS;
static_assert(ROUNDS <= STEPS, "a stage is fetched while another is worked on");

struct Tile {
    uint32_t image, row, column;
};

// Sizes common to all blocks.
template <class T> struct Images {
    const T *grad, *x;
    // Of `x` and of `grad`: `pieces`, whether eight adjacent pixels of `grad` are aligned.
    Extent of;
    uint32_t outputs, pieces;

    DEVICE Tile tile(uint32_t index) const {
        const uint32_t wide = (of.width + COLUMNS - 1) / COLUMNS;
        const uint32_t high = (of.height + ROWS - 1) / ROWS;
        return {index / wide / high, index / wide % high * ROWS, index % wide * COLUMNS};
    }

    // A thread copies one piece of each row of two outputs. In shared memory outputs are adjacent,
    // swizzled by the piece, so that the copies have no bank conflicts.
    DEVICE void start_gradient(uint4 *stage, const Tile &tile, uint32_t output) const {
        const uint32_t piece = threadIdx.x % PIECES, column = tile.column + piece * 8;
        const uint32_t rows = min(ROWS, of.height - tile.row);
        for (uint32_t at = 0; at < ROWS * 2; at++) {
            const uint32_t row = at % ROWS, mine = threadIdx.x / PIECES + at / ROWS * (OUTPUTS / 2);
            const bool wanted = output + mine < outputs && column < of.width && row < rows;
            const size_t plane = static_cast<size_t>(tile.image) * outputs + output + mine;
            const T *from = grad + (plane * of.height + tile.row + row) * of.width + column;
            uint4 *to = stage + (row * PIECES + piece) * OUTPUTS + (mine ^ piece * 2);
            if (pieces) {
                copy_async16(to, wanted ? from : grad, wanted);
                continue;
            }
            uint32_t words[4] = {};
#pragma unroll
            for (uint32_t i = 0; i < 8; i++)
                if (wanted && column + i < of.width)
                    words[i / 2] |= static_cast<uint32_t>(from[i].bits) << i % 2 * 16;
            *to = make_uint4(words[0], words[1], words[2], words[3]);
        }
    }

    DEVICE void start_pixels(uint32_t (&words)[8], const Tile &tile, uint32_t input,
                             uint32_t round) const {
        const uint32_t at = round * THREADS + threadIdx.x;
        if (at >= FETCHES) return;
        const uint32_t group = at / PAIRS / (ROWS + 2), row = at / PAIRS % (ROWS + 2);
        fetch(words, x + static_cast<size_t>(tile.image) * of.channels * of.pixels(), of,
              input + group * 8, tile.row + row - 1, tile.column + 2 * (at % PAIRS) - 2);
    }

    DEVICE void finish_pixels(const uint32_t (&words)[8], uint4 *stage, uint32_t round) const {
        const uint32_t at = round * THREADS + threadIdx.x;
        if (at >= FETCHES) return;
        // Groups, rows and pairs are contiguous.
        uint4 *to = stage + GRADIENT + 2 * at;
        to[0] = first_piece(words);
        to[1] = second_piece(words);
    }
};

// `b[row][right]`: 16 pixels of a row from column `right - 1` on, of this warp's eight inputs.
typedef uint32_t Seen[4][3][2];

// Two rows of the halo's, the first at `pixels`, into b[into] and the next.
DEVICE void see(Seen &b, uint32_t into, const uint4 *pixels) {
    const uint32_t lane = threadIdx.x % WARP, matrix = lane / 8;
    const uint4 *at = pixels + lane % 8 + matrix % 2 * 8 + 1;
    uint32_t two[4];
#pragma unroll
    for (uint32_t r = 0; r < 2; r++) {
        load_matrices_transposed(two, at + r * PITCH + matrix / 2);
        b[into + r][0][0] = two[0], b[into + r][0][1] = two[1];
        b[into + r][1][0] = two[2], b[into + r][1][1] = two[3];
    }
    load_matrices_transposed(two, at + matrix / 2 * PITCH + 2);
    b[into][2][0] = two[0], b[into][2][1] = two[1];
    b[into + 1][2][0] = two[2], b[into + 1][2][1] = two[3];
}

typedef float Sums[4][TAPS][4];

// 16 pixels of a row, whose first piece is `piece` of the row; `seen` begins with the row above it.
template <class T>
DEVICE void add_row(Sums &sums, const uint4 *row, uint32_t piece, const uint32_t (*seen)[3][2]) {
    const uint32_t lane = threadIdx.x % WARP, mine = piece + lane / 16;
#pragma unroll
    for (uint32_t m = 0; m < 4; m++) {
        uint32_t a[4];
        load_matrices(a, row + mine * OUTPUTS + ((m * 16 + lane % 16) ^ mine * 2));
#pragma unroll
        for (uint32_t tap = 0; tap < TAPS; tap++) {
            const uint32_t b[2] = {seen[tap / 3][tap % 3][0], seen[tap / 3][tap % 3][1]};
            mma<T>(sums[m][tap], a, b);
        }
    }
}

// partial [split][64-fold of outputs][tap][32-fold of inputs].
template <class T>
DEVICE void correlate(const Images<T> &images, float *partial, uint32_t tiles, uint32_t shares) {
    DYNAMIC_SHARED(uint4, memory);
    const uint32_t across = (images.of.channels + INPUTS - 1) / INPUTS;
    const uint32_t down = (images.outputs + OUTPUTS - 1) / OUTPUTS;
    const uint32_t input = blockIdx.x % across * INPUTS;
    const uint32_t output = blockIdx.x / across % down * OUTPUTS;
    const uint32_t share = blockIdx.x / across / down;
    const uint32_t each = (tiles + shares - 1) / shares;
    const uint32_t begin = share * each, end = min(begin + each, tiles);
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;

    Sums sums = {};
    if (begin < end) {
        // Prologue of the double buffer: no mma hide this latency, so all loads are in flight at
        // once.
        uint32_t words[ROUNDS][8];
        const Tile first = images.tile(begin);
        images.start_gradient(memory, first, output);
#pragma unroll
        for (uint32_t round = 0; round < ROUNDS; round++)
            images.start_pixels(words[round], first, input, round);
#pragma unroll
        for (uint32_t round = 0; round < ROUNDS; round++)
            images.finish_pixels(words[round], memory, round);
    }
    uint32_t words[8];
    commit_async();
#pragma unroll 1
    for (uint32_t index = begin; index < end; index++) {
        const uint4 *stage = memory + (index - begin) % 2 * STAGE;
        uint4 *next = memory + (index - begin + 1) % 2 * STAGE;
        const bool more = index + 1 < end;
        const Tile coming = images.tile(index + 1);
        wait_async<0>();
        __syncthreads();
        if (more) images.start_gradient(next, coming, output);
        commit_async();
        const uint4 *pixels = stage + GRADIENT + warp * PLANE;
        Seen b;
#pragma unroll 1
        for (uint32_t step = 0; step < STEPS; step++) {
            const bool fetching = more && step < ROUNDS;
            if (fetching) images.start_pixels(words, coming, input, step);
            const uint32_t half = step / (ROWS / 2), row = step % (ROWS / 2) * 2;
            if (row == 0) see(b, 0, pixels + half * 16);
            see(b, 2, pixels + half * 16 + (row + 2) * PITCH);
            const uint4 *gradient = stage + row * PIECES * OUTPUTS;
            add_row<T>(sums, gradient, half * 2, b);
            add_row<T>(sums, gradient + PIECES * OUTPUTS, half * 2, b + 1);
#pragma unroll
            for (uint32_t i = 0; i < 6; i++) {
                b[0][i / 2][i % 2] = b[2][i / 2][i % 2];
                b[1][i / 2][i % 2] = b[3][i / 2][i % 2];
            }
            if (fetching) images.finish_pixels(words, next, step);
        }
    }

    const size_t outputs = static_cast<size_t>(share) * down * OUTPUTS + output + lane / 4;
    float *to = partial + outputs * TAPS * across * INPUTS + input + warp * 8 + 2 * (lane % 4);
#pragma unroll
    for (uint32_t m = 0; m < 4; m++) {
#pragma unroll
        for (uint32_t tap = 0; tap < TAPS; tap++) {
            const float(&sum)[4] = sums[m][tap];
            float *upper = to + (static_cast<size_t>(m) * 16 * TAPS + tap) * across * INPUTS;
            *reinterpret_cast<float2 *>(upper) = make_float2(sum[0], sum[1]);
            float *lower = upper + static_cast<size_t>(8) * TAPS * across * INPUTS;
            *reinterpret_cast<float2 *>(lower) = make_float2(sum[2], sum[3]);
        }
    }
}

} // namespace

#define CORRELATE(T)                                                                             \
    KERNEL(conv_tensor_weight_##T, 128, const T *grad, const T *x, float *partial,               \
           uint32_t inputs, uint32_t outputs, uint32_t height, uint32_t width, uint32_t pairs,   \
           uint32_t pieces, uint32_t tiles, uint32_t shares) {                                   \
        const Images<T> images{grad, x, Extent{inputs, height, width, pairs}, outputs, pieces};  \
        correlate(images, partial, tiles, shares);                                               \
    }

CORRELATE(bf16)
CORRELATE(f16)
