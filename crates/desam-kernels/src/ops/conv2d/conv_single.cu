// 3×3 convolution at stride 1 in f32, and its weight gradient, as implicit GEMM without tensor
// cores: register blocking over tiles in shared memory, eight warps per block.
#include "device.cuh"

namespace {

constexpr uint32_t THREADS = 256, TAPS = 9, OUTPUTS = 64, COLUMNS = 16;
// Columns from one before the tile's first on (the halo); a row is aligned to 16 bytes.
constexpr uint32_t PITCH = COLUMNS + 4;

struct Extent {
    uint32_t channels, height, width;

    DEVICE size_t pixels() const { return static_cast<size_t>(height) * width; }
};

struct Tile {
    uint32_t image, row, column;
};

DEVICE Tile tile_of(uint32_t index, const Extent &of, uint32_t rows) {
    const uint32_t wide = (of.width + COLUMNS - 1) / COLUMNS, high = (of.height + rows - 1) / rows;
    return {index / wide / high, index / wide % high * rows, index % wide * COLUMNS};
}

// `rows` rows of the tile with a halo of one, of `planes` channels from `channel` on: [planes][plane].
DEVICE void load_halo(float *to, uint32_t plane, uint32_t planes, uint32_t rows, const float *x,
                      const Extent &of, const Tile &tile, uint32_t channel) {
    const uint32_t wide = COLUMNS + 2, high = rows + 2;
    x += static_cast<size_t>(tile.image) * of.channels * of.pixels();
    for (uint32_t at = threadIdx.x; at < planes * high * wide; at += THREADS) {
        const uint32_t c = at % wide, r = at / wide % high, i = at / wide / high;
        const uint32_t row = tile.row + r - 1, column = tile.column + c - 1;
        const bool known = channel + i < of.channels && row < of.height && column < of.width;
        const size_t from =
            (channel + i) * of.pixels() + static_cast<size_t>(row) * of.width + column;
        to[i * plane + r * PITCH + c] = known ? x[from] : 0;
    }
}

// Loads six elements, the first aligned to 16 bytes.
DEVICE void load_six(float (&to)[6], const float *from) {
    const float4 four = *reinterpret_cast<const float4 *>(from);
    const float2 two = *reinterpret_cast<const float2 *>(from + 4);
    to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w, to[4] = two.x, to[5] = two.y;
}

// A block computes 64 outputs of 8×16 pixels; a thread eight outputs of four adjacent pixels, a warp
// eight outputs of all pixels, so that a warp reads its weights once.
constexpr uint32_t ROWS = 8, INPUTS = 8, HALO = (ROWS + 2) * PITCH;

DEVICE void convolve(const float *x, const float *weight, float *y, const Extent &of,
                     uint32_t outputs) {
    SHARED(float, weights, INPUTS * TAPS * OUTPUTS);
    SHARED(float, pixels, INPUTS * HALO);
    const uint32_t groups = (outputs + OUTPUTS - 1) / OUTPUTS, group = blockIdx.x % groups;
    const Tile tile = tile_of(blockIdx.x / groups, of, ROWS);
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const uint32_t r = lane / 4, c = lane % 4 * 4;
    weight += static_cast<size_t>(group) * of.channels * TAPS * OUTPUTS;
    float sums[8][4] = {};
    for (uint32_t input = 0; input < of.channels; input += INPUTS) {
        const uint32_t count = min(INPUTS, of.channels - input);
        __syncthreads();
        const float *from = weight + static_cast<size_t>(input) * TAPS * OUTPUTS;
        for (uint32_t at = threadIdx.x; at < count * TAPS * OUTPUTS; at += THREADS)
            weights[at] = from[at];
        load_halo(pixels, HALO, count, ROWS, x, of, tile, input);
        __syncthreads();
#pragma unroll 1
        for (uint32_t i = 0; i < count; i++) {
#pragma unroll
            for (uint32_t down = 0; down < 3; down++) {
                float seen[6];
                load_six(seen, pixels + i * HALO + (r + down) * PITCH + c);
#pragma unroll
                for (uint32_t right = 0; right < 3; right++) {
                    const float *eight = weights + (i * TAPS + down * 3 + right) * OUTPUTS + warp * 8;
                    const float4 a = *reinterpret_cast<const float4 *>(eight);
                    const float4 b = *reinterpret_cast<const float4 *>(eight + 4);
                    const float w[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
                    for (uint32_t o = 0; o < 8; o++)
#pragma unroll
                        for (uint32_t p = 0; p < 4; p++) sums[o][p] += w[o] * seen[right + p];
                }
            }
        }
    }
    const uint32_t row = tile.row + r, column = tile.column + c;
    if (row >= of.height) return;
#pragma unroll
    for (uint32_t o = 0; o < 8; o++) {
        const uint32_t output = group * OUTPUTS + warp * 8 + o;
        if (output >= outputs) return;
        float *to = y + (static_cast<size_t>(tile.image) * outputs + output) * of.pixels() +
                    static_cast<size_t>(row) * of.width + column;
#pragma unroll
        for (uint32_t p = 0; p < 4; p++)
            if (column + p < of.width) to[p] = sums[o][p];
    }
}

// Weight gradient: a block computes 64 outputs × 16 inputs × nine taps over its split of the tiles of
// 4×16 pixels, a thread four outputs of one input. partial [split][64-fold of outputs][tap][16-fold of inputs].
constexpr uint32_t ROWS_SUMMED = 4, INPUTS_MADE = 16;
constexpr uint32_t GRADIENT = ROWS_SUMMED * COLUMNS + 4;
// Padded by four elements against bank conflicts between planes.
constexpr uint32_t HALO_SUMMED = (ROWS_SUMMED + 2) * PITCH + 4;

DEVICE void correlate(const float *grad, const float *x, float *partial, const Extent &of,
                      uint32_t outputs, uint32_t tiles, uint32_t shares) {
    SHARED(float, gradient, OUTPUTS * GRADIENT);
    SHARED(float, pixels, INPUTS_MADE * HALO_SUMMED);
    const uint32_t across = (of.channels + INPUTS_MADE - 1) / INPUTS_MADE;
    const uint32_t groups = (outputs + OUTPUTS - 1) / OUTPUTS;
    const uint32_t input = blockIdx.x % across * INPUTS_MADE;
    const uint32_t output = blockIdx.x / across % groups * OUTPUTS;
    const uint32_t share = blockIdx.x / across / groups, each = (tiles + shares - 1) / shares;
    const uint32_t begin = share * each, end = min(begin + each, tiles);
    const uint32_t mine = threadIdx.x % INPUTS_MADE, four = threadIdx.x / INPUTS_MADE * 4;
    float sums[4][TAPS] = {};
    for (uint32_t index = begin; index < end; index++) {
        const Tile tile = tile_of(index, of, ROWS_SUMMED);
        __syncthreads();
        for (uint32_t at = threadIdx.x; at < OUTPUTS * ROWS_SUMMED * COLUMNS; at += THREADS) {
            const uint32_t c = at % COLUMNS, r = at / COLUMNS % ROWS_SUMMED;
            const uint32_t o = at / COLUMNS / ROWS_SUMMED;
            const uint32_t row = tile.row + r, column = tile.column + c;
            const bool known = output + o < outputs && row < of.height && column < of.width;
            const size_t plane = static_cast<size_t>(tile.image) * outputs + output + o;
            gradient[o * GRADIENT + r * COLUMNS + c] =
                known ? grad[(plane * of.height + row) * of.width + column] : 0;
        }
        load_halo(pixels, HALO_SUMMED, INPUTS_MADE, ROWS_SUMMED, x, of, tile, input);
        __syncthreads();
#pragma unroll 1
        for (uint32_t r = 0; r < ROWS_SUMMED; r++) {
#pragma unroll 1
            for (uint32_t c = 0; c < COLUMNS; c += 4) {
                float seen[3][6];
#pragma unroll
                for (uint32_t down = 0; down < 3; down++)
                    load_six(seen[down], pixels + mine * HALO_SUMMED + (r + down) * PITCH + c);
#pragma unroll
                for (uint32_t o = 0; o < 4; o++) {
                    const float4 g = *reinterpret_cast<const float4 *>(
                        gradient + (four + o) * GRADIENT + r * COLUMNS + c);
#pragma unroll
                    for (uint32_t tap = 0; tap < TAPS; tap++) {
                        const float *s = seen[tap / 3] + tap % 3;
                        sums[o][tap] += g.x * s[0];
                        sums[o][tap] += g.y * s[1];
                        sums[o][tap] += g.z * s[2];
                        sums[o][tap] += g.w * s[3];
                    }
                }
            }
        }
    }
    const size_t row = static_cast<size_t>(share) * groups * OUTPUTS + output + four;
#pragma unroll
    for (uint32_t o = 0; o < 4; o++)
#pragma unroll
        for (uint32_t tap = 0; tap < TAPS; tap++)
            partial[((row + o) * TAPS + tap) * across * INPUTS_MADE + input + mine] = sums[o][tap];
}

} // namespace

KERNEL(conv_single, 256, const f32 *x, const f32 *weight, f32 *y, uint32_t inputs, uint32_t outputs,
       uint32_t height, uint32_t width) {
    convolve(x, weight, y, Extent{inputs, height, width}, outputs);
}

KERNEL(conv_single_weight, 256, const f32 *grad, const f32 *x, f32 *partial, uint32_t inputs,
       uint32_t outputs, uint32_t height, uint32_t width, uint32_t tiles, uint32_t shares) {
    correlate(grad, x, partial, Extent{inputs, height, width}, outputs, tiles, shares);
}
