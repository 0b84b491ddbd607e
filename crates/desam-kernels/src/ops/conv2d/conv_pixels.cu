// GEMM with a batched reduction on tensor cores, split-K: [m, n] = sum over images and pixels of
// a [images, m, pixels] · b [images, n, pixels]. It is the weight gradient of a 1×1 convolution.
//
// A block computes a tile of 128 × 128 over its split of the stages, each of its four warps 64 ×
// 64. A stage is 64 pixels of both operands, 32 KB (cp.async); two are in flight while one is
// computed. The eight 16-byte pieces of a row are swizzled by the row index, so that ldmatrix reads
// the rows of a matrix without bank conflicts. conv_split_k.cu adds up the partial sums, in a fixed
// order.
#include "device.cuh"

namespace {

constexpr uint32_t THREADS = 128, SIDE = 128, PIECES = 8, PIXELS = PIECES * 8;
constexpr uint32_t STAGES = 3, STAGE = 2 * SIDE * PIECES;

template <class T> struct Factors {
    const T *a, *b;
    // `aligned`: eight adjacent pixels are, in both operands.
    uint32_t m, n, pixels, aligned;

    DEVICE uint32_t stages() const { return (pixels + PIXELS - 1) / PIXELS; }

    // Copies eight pixels of a row, zero-filled beyond its end.
    DEVICE void start_piece(uint4 *to, const T *row, uint32_t pixel, bool known) const {
        if (aligned) {
            const bool wanted = known && pixel < pixels;
            copy_async16(to, wanted ? row + pixel : a, wanted);
            return;
        }
        uint32_t words[4] = {};
#pragma unroll
        for (uint32_t i = 0; i < 8; i++)
            if (known && pixel + i < pixels)
                words[i / 2] |= static_cast<uint32_t>(row[pixel + i].bits) << i % 2 * 16;
        *to = make_uint4(words[0], words[1], words[2], words[3]);
    }

    DEVICE void start(uint4 *stage, uint32_t index, uint32_t first_m, uint32_t first_n) const {
        const size_t image = index / stages();
        const uint32_t piece = threadIdx.x % PIECES, top = threadIdx.x / PIECES;
        const uint32_t pixel = index % stages() * PIXELS + piece * 8;
        for (uint32_t row = top; row < SIDE; row += THREADS / PIECES) {
            uint4 *to = stage + row * PIECES + (piece ^ row % PIECES);
            const uint32_t i = first_m + row, j = first_n + row;
            start_piece(to, a + (image * m + i) * pixels, pixel, i < m);
            start_piece(to + SIDE * PIECES, b + (image * n + j) * pixels, pixel, j < n);
        }
    }
};

typedef float Sums[4][8][4];

// The warp's mma over sixteen pixels of a stage, one step of the reduction.
template <class T>
DEVICE void add(Sums &sums, const uint4 *a, const uint4 *b, uint32_t sixteen) {
    const uint32_t lane = threadIdx.x % WARP, line = lane % 8;
    uint32_t right[4][4];
#pragma unroll
    for (uint32_t j = 0; j < 4; j++) {
        const uint32_t row = j * 16 + lane / 16 * 8 + line;
        load_matrices(right[j], b + row * PIECES + ((sixteen * 2 + lane / 8 % 2) ^ line));
    }
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t left[4];
        const uint32_t row = i * 16 + lane % 16;
        load_matrices(left, a + row * PIECES + ((sixteen * 2 + lane / 16) ^ line));
#pragma unroll
        for (uint32_t j = 0; j < 4; j++) {
            mma<T>(sums[i][2 * j], left, {right[j][0], right[j][1]});
            mma<T>(sums[i][2 * j + 1], left, {right[j][2], right[j][3]});
        }
    }
}

// partial [share][128-fold of m][128-fold of n].
template <class T>
DEVICE void multiply(const Factors<T> &of, float *partial, uint32_t stages, uint32_t shares) {
    DYNAMIC_SHARED(uint4, memory);
    const uint32_t across = (of.n + SIDE - 1) / SIDE, down = (of.m + SIDE - 1) / SIDE;
    const uint32_t first_n = blockIdx.x % across * SIDE, first_m = blockIdx.x / across % down * SIDE;
    const uint32_t share = blockIdx.x / across / down, each = (stages + shares - 1) / shares;
    const uint32_t begin = min(share * each, stages), end = min(begin + each, stages);
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const uint32_t i = warp / 2 * 64, j = warp % 2 * 64;

    for (uint32_t ahead = 0; ahead < STAGES - 1; ahead++) {
        if (begin + ahead < end)
            of.start(memory + ahead * STAGE, begin + ahead, first_m, first_n);
        commit_async();
    }
    Sums sums = {};
#pragma unroll 1
    for (uint32_t index = begin; index < end; index++) {
        wait_async<STAGES - 2>();
        __syncthreads();
        const uint32_t coming = index + STAGES - 1;
        if (coming < end)
            of.start(memory + (coming - begin) % STAGES * STAGE, coming, first_m, first_n);
        commit_async();
        const uint4 *stage = memory + (index - begin) % STAGES * STAGE;
#pragma unroll
        for (uint32_t sixteen = 0; sixteen < PIXELS / 16; sixteen++)
            add<T>(sums, stage + i * PIECES, stage + (SIDE + j) * PIECES, sixteen);
    }

    const size_t row = (static_cast<size_t>(share) * down * SIDE) + first_m + i + lane / 4;
    float *to = partial + row * across * SIDE + first_n + j + 2 * (lane % 4);
#pragma unroll
    for (uint32_t m = 0; m < 4; m++) {
#pragma unroll
        for (uint32_t n = 0; n < 8; n++) {
            float *upper = to + static_cast<size_t>(m * 16) * across * SIDE + n * 8;
            *reinterpret_cast<float2 *>(upper) = make_float2(sums[m][n][0], sums[m][n][1]);
            float *lower = upper + static_cast<size_t>(8) * across * SIDE;
            *reinterpret_cast<float2 *>(lower) = make_float2(sums[m][n][2], sums[m][n][3]);
        }
    }
}

} // namespace

#define MULTIPLY(T)                                                                            \
    KERNEL(conv_pixels_##T, 128, const T *a, const T *b, float *partial, uint32_t m,           \
           uint32_t n, uint32_t pixels, uint32_t aligned, uint32_t stages, uint32_t shares) {  \
        multiply(Factors<T>{a, b, m, n, pixels, aligned}, partial, stages, shares);            \
    }

MULTIPLY(bf16)
MULTIPLY(f16)
