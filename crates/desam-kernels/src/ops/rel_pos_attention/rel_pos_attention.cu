// Window attention with decomposed relative positions for bf16 and f16 on tensor cores, as flash
// attention (online softmax over tiles of keys).
//
// A block of 4 warps takes 128 queries of one head and window, a warp 32 of them: two operands `a`
// of 16 queries. Keys and values are staged in tiles of 64 (window.cuh), double-buffered in shared
// memory: one is computed on while the next is copied (cp.async). A warp takes a tile in halves of 32
// keys:
//
//   scores [32][32] = terms + q·kᵀ    accumulators start as the terms, so adding them is free
//   weights = 2^scores                in registers; accumulators have the layout of operand `a`
//   mixed [32][WIDTH] += weights·v
//
// Registers of a thread for WIDTH 80: mixed 80, queries 40, scores 32, column terms 16; in all 246
// for sm_90, so two blocks share a multiprocessor. Register blocking: each element of a tile that
// is read from shared memory is used for 32 queries. For WIDTH 80 the reads (40 ldmatrix of 512
// bytes per tile and warp, at 128 bytes per cycle) of four warps take 640 cycles and the copies
// 160, below the 1024 that 160 mma of 6.4 cycles take, and a warp has about 600 instructions per
// tile. A score costs 4.5 instructions in addition to the mma: initialisation, maximum,
// exponential, sum, and half a conversion of a pair.
//
// Queries are scaled by log2 e / √depth before they are rounded, which adds no rounding; the terms,
// products of these queries, are multiplied by √depth, since relative positions take the unscaled
// query. The running maximum is raised only when a score is more than RAISE above it: weights up to
// 2^8 are as exact as weights up to 1, and the rescaling of the accumulators is then almost never
// needed.
#include "queries.cuh"

namespace {

constexpr float RAISE = 8.0f;

// The accumulators of a warp's queries.
template <class T, uint32_t WIDTH, bool EXACT> struct Mixture {
    static constexpr uint32_t STEPS = WIDTH / 16, OUT = WIDTH / 8;

    const Tiles<T, WIDTH, EXACT> &tiles;
    const Queries<T, WIDTH, EXACT> &queries;
    const Sizes &sizes;
    const uint32_t lane = threadIdx.x % WARP;
    // Column terms for 16 key columns, in the layout of an accumulator.
    float columns[OPERANDS][2][4];
    // Weighted sums of the values and weights, both relative to 2^largest.
    float mixed[OPERANDS][OUT][4], sums[OPERANDS][2], largest[OPERANDS][2];

    DEVICE Mixture(const Tiles<T, WIDTH, EXACT> &tiles, const Queries<T, WIDTH, EXACT> &queries)
        : tiles(tiles), queries(queries), sizes(tiles.sizes) {
#pragma unroll
        for (uint32_t o = 0; o < OPERANDS; o++) {
            largest[o][0] = largest[o][1] = sums[o][0] = sums[o][1] = 0;
#pragma unroll
            for (uint32_t n = 0; n < OUT; n++)
                mixed[o][n][0] = mixed[o][n][1] = mixed[o][n][2] = mixed[o][n][3] = 0;
        }
    }

    // Column terms for the 16 key columns from `column` on.
    DEVICE void read_columns(uint32_t column) {
#pragma unroll
        for (uint32_t o = 0; o < OPERANDS; o++) {
#pragma unroll
            for (uint32_t i = 0; i < 4; i++) {
                const uint32_t line = queries.line(o, i % 2);
                const uint32_t key = column + i / 2 * 8 + lane % 4 * 2;
                const float2 both = *reinterpret_cast<const float2 *>(
                    queries.terms.columns + line * queries.terms.column_stride + key);
                columns[o][i / 2][i % 2 * 2] = both.x;
                columns[o][i / 2][i % 2 * 2 + 1] = both.y;
            }
        }
    }

    // The keys of two rows from `row` on, which lie from `in_tile` on in the stage.
    DEVICE void attend(uint32_t stage, uint32_t in_tile, uint32_t row, bool is_first) {
        const unsigned char *keys = tiles.slot(2 * stage), *values = tiles.slot(2 * stage + 1);
        float scores[OPERANDS][4][4];
#pragma unroll
        for (uint32_t o = 0; o < OPERANDS; o++) {
#pragma unroll
            for (uint32_t half = 0; half < 2; half++) {
                const uint32_t line = queries.line(o, half);
                const float2 both = *reinterpret_cast<const float2 *>(
                    queries.terms.rows + line * queries.terms.row_stride + row);
                const float by_row[2] = {both.x - largest[o][half], both.y - largest[o][half]};
#pragma unroll
                for (uint32_t n = 0; n < 4; n++) {
#pragma unroll
                    for (uint32_t i = half * 2; i < half * 2 + 2; i++)
                        scores[o][n][i] = by_row[n / 2] + columns[o][n % 2][i];
                }
            }
        }
#pragma unroll
        for (uint32_t k = 0; k < STEPS; k++) {
#pragma unroll
            for (uint32_t n = 0; n < 4; n += 2) {
                uint32_t b[4];
                tiles.read_rows(b, keys, in_tile + n * 8, k);
#pragma unroll
                for (uint32_t o = 0; o < OPERANDS; o++) {
                    mma<T>(scores[o][n], queries.operands[o][k], {b[0], b[1]});
                    mma<T>(scores[o][n + 1], queries.operands[o][k], {b[2], b[3]});
                }
            }
        }
        float most = NOTHING;
#pragma unroll
        for (uint32_t i = 0; i < OPERANDS * 16; i++)
            most = fmaxf(most, scores[i / 16][i / 4 % 4][i % 4]);
        if (__any_sync(ALL_LANES, is_first || most > RAISE)) raise(scores, is_first);
#pragma unroll
        for (uint32_t n = 0; n < 4; n += 2) {
            uint32_t weights[OPERANDS][4];
#pragma unroll
            for (uint32_t o = 0; o < OPERANDS; o++) {
#pragma unroll
                for (uint32_t i = 0; i < 4; i++) {
                    const float x = fast_exp2(scores[o][n + i / 2][i % 2 * 2]);
                    const float y = fast_exp2(scores[o][n + i / 2][i % 2 * 2 + 1]);
                    sums[o][i % 2] += x + y;
                    weights[o][i] = narrow_pair<T>(x, y);
                }
            }
#pragma unroll
            for (uint32_t c = 0; c < STEPS; c++) {
                uint32_t b[4];
                tiles.read_transposed(b, values, in_tile + n * 8, c);
#pragma unroll
                for (uint32_t o = 0; o < OPERANDS; o++) {
                    mma<T>(mixed[o][2 * c], weights[o], {b[0], b[1]});
                    mma<T>(mixed[o][2 * c + 1], weights[o], {b[2], b[3]});
                }
            }
        }
    }

    // Raises the running maximum to that of the scores so far, and rescales the accumulators.
    DEVICE void raise(float (&scores)[OPERANDS][4][4], bool is_first) {
#pragma unroll
        for (uint32_t o = 0; o < OPERANDS; o++) {
#pragma unroll
            for (uint32_t half = 0; half < 2; half++) {
                float most = is_first ? NOTHING : 0.0f;
#pragma unroll
                for (uint32_t i = 0; i < 8; i++)
                    most = fmaxf(most, scores[o][i / 2][half * 2 + i % 2]);
                most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 1));
                most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 2));
                // Before the first tile nothing is accumulated, and 2^-most might overflow there.
                const float factor = is_first ? 1.0f : fast_exp2(-most);
                largest[o][half] += most;
                sums[o][half] *= factor;
#pragma unroll
                for (uint32_t i = 0; i < 8; i++) scores[o][i / 2][half * 2 + i % 2] -= most;
#pragma unroll
                for (uint32_t n = 0; n < OUT; n++) {
                    mixed[o][n][half * 2] *= factor;
                    mixed[o][n][half * 2 + 1] *= factor;
                }
            }
        }
    }

    DEVICE void attend_all() {
        uint32_t stage = 0;
        for (uint32_t column = 0; column < sizes.side; column += KEY_COLUMNS) {
            if (queries.works()) read_columns(column);
            for (uint32_t row = 0; row < sizes.side; row += KEY_ROWS) {
                wait_async<0>();
                __syncthreads();
                const bool down = row + KEY_ROWS < sizes.side;
                const uint32_t next = down ? column : column + KEY_COLUMNS;
                if (next < sizes.side) tiles.copy_keys(1 - stage, down ? row + KEY_ROWS : 0, next);
                commit_async();
                if (queries.works()) {
                    attend(stage, 0, row, row + column == 0);
                    if (row + 2 < sizes.side) attend(stage, 2 * KEY_COLUMNS, row + 2, false);
                }
                stage = 1 - stage;
            }
        }
    }

    DEVICE void write(const float *bias, T *y) const {
        bias += 2 * sizes.width() + tiles.window.head * sizes.depth;
        y += tiles.window.at(sizes, 1);
#pragma unroll
        for (uint32_t o = 0; o < OPERANDS; o++) {
#pragma unroll
            for (uint32_t half = 0; half < 2; half++) {
                float sum = sums[o][half];
                sum += __shfl_xor_sync(ALL_LANES, sum, 1);
                sum += __shfl_xor_sync(ALL_LANES, sum, 2);
                const float share = 1.0f / sum;
                const uint32_t q = queries.query(o, half);
                if (q != queries.first - queries.base + queries.line(o, half)) continue;
                const uint32_t row = q / tiles.window.columns, column = q % tiles.window.columns;
                T *to = y + (row * sizes.grid + column) * sizes.width();
#pragma unroll
                for (uint32_t n = 0; n < OUT; n++) {
                    const uint32_t channel = 8 * n + lane % 4 * 2;
                    if (!tiles.there_is(channel)) continue;
                    *reinterpret_cast<uint32_t *>(to + channel) =
                        narrow_pair<T>(mixed[o][n][half * 2] * share + bias[channel],
                                       mixed[o][n][half * 2 + 1] * share + bias[channel + 1]);
                }
            }
        }
    }
};

template <uint32_t WIDTH, bool EXACT, class T>
DEVICE void attention(const T *qkv, const float *bias, const T *positions, T *y,
                      const Sizes &sizes) {
    DYNAMIC_SHARED(unsigned char, memory);
    const Tiles<T, WIDTH, EXACT> tiles(sizes, qkv, memory);
    if (tiles.window.tile * blockDim.x >= tiles.window.count()) return;
    Queries<T, WIDTH, EXACT> queries(tiles);
    queries.read(bias);
    queries.position_terms(positions);
    Mixture<T, WIDTH, EXACT> mixture(tiles, queries);
    mixture.attend_all();
    if (queries.works()) mixture.write(bias, y);
}

} // namespace

// `.._WIDTH` takes that depth, `.._to_WIDTH` any multiple of 8 up to it. All pointers aligned to 16
// bytes; tokens, and numbers of `qkv` for an image, fewer than 2^32. Threads: 128, 64 or 32, one per
// query. Shared memory: 4 tiles, then the queries' terms.
#define ATTENTION(T, NAME, WIDTH, EXACT)                                                       \
    KERNEL(rel_pos_attention_##T##_##NAME, 128, const T *qkv, const float *bias,               \
           const T *positions, T *y, uint32_t grid, uint32_t side, uint32_t heads,             \
           uint32_t depth, uint32_t tiles) {                                                   \
        const uint32_t channels = EXACT ? WIDTH : depth;                                       \
        attention<WIDTH, EXACT>(qkv, bias, positions, y, {grid, side, heads, channels, tiles}); \
    }
#define ATTENTIONS(T)                \
    ATTENTION(T, to_32, 32, false)   \
    ATTENTION(T, 64, 64, true)       \
    ATTENTION(T, 80, 80, true)       \
    ATTENTION(T, to_80, 80, false)

ATTENTIONS(bf16)
ATTENTIONS(f16)
