// Window attention with decomposed relative positions for f32, without tensor cores: the reference for
// a GPU's parity with the CPU, and the fallback for any depth.
//
// A block of 256 threads takes 64 queries of one head and window, and the keys in tiles of 64
// (window.cuh). A thread has 4 queries and 4 keys of a tile (of one column, one in each row): 16
// scores, for which it reads 8 runs of 4 channels from shared memory for 64 products. Of the
// accumulators it has 4 queries and every 16th channel. A query's maximum and sum are reduced over 16
// adjacent threads, half a warp, which exchange weights through shared memory.
//
// Rows of queries and keys are padded by 4 elements against bank conflicts: 8 adjacent rows, 16
// bytes each, are in different banks.
#include "window.cuh"

namespace {

constexpr uint32_t THREADS = 256, QUERIES = 64, SIDE = 16, EACH = 4, WEIGHTS = KEYS + 4;
static_assert(QUERIES == KEYS, "rows of both are read alike");

template <uint32_t WIDTH> struct Block {
    static constexpr uint32_t ROW = WIDTH + 4, OUT = WIDTH / SIDE;

    const Sizes sizes;
    const Window window;
    // The head's first element of the token in the window's corner.
    const float *corner;
    float *const queries, *const keys, *const values, *const weights;
    const Terms terms;
    // The thread's queries are the four from `line` on, its keys are in this column of a tile.
    const uint32_t line = threadIdx.x / SIDE * EACH, column = threadIdx.x % SIDE;
    // The block's first query in the window.
    const uint32_t first;

    float largest[EACH], sums[EACH], mixed[EACH][OUT];

    DEVICE Block(const Sizes &sizes, const float *qkv, float *memory)
        : sizes(sizes), window(sizes),
          corner(qkv + window.at(sizes, 3)), queries(memory), keys(queries + QUERIES * ROW),
          values(keys + KEYS * ROW), weights(values + KEYS * WIDTH),
          terms(sizes, weights + QUERIES * WEIGHTS, QUERIES), first(window.tile * QUERIES) {}

    // The query of the window at a line of the block; beyond the end, the last one.
    DEVICE uint32_t query(uint32_t line) const { return min(first + line, window.count() - 1); }
    DEVICE const float *vector(uint32_t row, uint32_t column) const {
        return corner + (row * sizes.grid + column) * (3 * sizes.width());
    }

    // A warp takes every eighth row, a lane every 32nd channel: `put(row, channel)`.
    template <class Put> DEVICE void each(const Put &put) const {
        for (uint32_t row = threadIdx.x / WARP; row < KEYS; row += THREADS / WARP) {
#pragma unroll
            for (uint32_t i = 0; i < (WIDTH + WARP - 1) / WARP; i++) {
                const uint32_t channel = i * WARP + threadIdx.x % WARP;
                if (channel < WIDTH) put(row, channel);
            }
        }
    }
    DEVICE void read_queries(const float *bias) const {
        const float scale = LOG2_E / sqrtf(static_cast<float>(sizes.depth));
        bias += window.head * sizes.depth;
        each([&](uint32_t line, uint32_t channel) {
            const uint32_t q = query(line);
            const float *from = vector(q / window.columns, q % window.columns);
            const bool there = channel < sizes.depth;
            queries[line * ROW + channel] = there ? (from[channel] + bias[channel]) * scale : 0.0f;
        });
    }
    DEVICE void read_keys(uint32_t row, uint32_t column) const {
        each([&](uint32_t key, uint32_t channel) {
            const uint32_t y = row + key / KEY_COLUMNS, x = column + key % KEY_COLUMNS;
            const bool there = y < window.rows && x < window.columns && channel < sizes.depth;
            const float *from = vector(y, x) + sizes.width() + channel;
            keys[key * ROW + channel] = there ? from[0] : 0.0f;
            values[key * WIDTH + channel] = there ? from[sizes.width()] : 0.0f;
        });
    }
    DEVICE void read_distances(const float *table, uint32_t low) const {
        each([&](uint32_t row, uint32_t channel) {
            const bool there = low + row <= 2 * (sizes.side - 1) && channel < sizes.depth;
            keys[row * ROW + channel] =
                there ? table[(low + row) * sizes.depth + channel] : 0.0f;
        });
    }

    // Queries times the rows of `keys`.
    DEVICE void multiply(float (&found)[EACH][EACH]) const {
#pragma unroll
        for (uint32_t i = 0; i < EACH * EACH; i++) found[i / EACH][i % EACH] = 0;
#pragma unroll 1
        for (uint32_t channel = 0; channel < WIDTH; channel += 4) {
            float4 key[EACH];
#pragma unroll
            for (uint32_t j = 0; j < EACH; j++)
                key[j] =
                    *reinterpret_cast<const float4 *>(keys + (column + j * SIDE) * ROW + channel);
#pragma unroll
            for (uint32_t i = 0; i < EACH; i++) {
                const float4 q =
                    *reinterpret_cast<const float4 *>(queries + (line + i) * ROW + channel);
#pragma unroll
                for (uint32_t j = 0; j < EACH; j++) {
                    found[i][j] += q.x * key[j].x;
                    found[i][j] += q.y * key[j].y;
                    found[i][j] += q.z * key[j].z;
                    found[i][j] += q.w * key[j].w;
                }
            }
        }
    }

    DEVICE void position_terms(const float *positions) const {
        const float root = sqrtf(static_cast<float>(sizes.depth));
        const uint32_t last = min(first + QUERIES, window.count()) - 1;
        if (threadIdx.x < QUERIES) terms.bound(threadIdx.x);
        for (uint32_t axis = 0; axis < 2; axis++) {
            const Distances all(window, sizes.side, first, last, axis);
            for (uint32_t low = all.low; low <= all.high; low += KEYS) {
                __syncthreads();
                read_distances(positions + axis * (2 * sizes.side - 1) * sizes.depth, low);
                __syncthreads();
                float found[EACH][EACH];
                multiply(found);
                for (uint32_t i = 0; i < EACH; i++) {
                    const uint32_t q = query(line + i);
                    const uint32_t place = axis == 0 ? q / window.columns : q % window.columns;
                    for (uint32_t j = 0; j < EACH; j++)
                        terms.put(axis, line + i, place, low + column + j * SIDE,
                                  found[i][j] * root);
                }
            }
        }
    }

    // The tile whose first key is in this row; `by_column`: terms of its column for the 4 queries.
    DEVICE void attend(uint32_t row, const float (&by_column)[EACH]) {
        float scores[EACH][EACH];
        multiply(scores);
#pragma unroll
        for (uint32_t i = 0; i < EACH; i++) {
            const float4 by_row =
                *reinterpret_cast<const float4 *>(terms.rows + (line + i) * terms.row_stride + row);
            scores[i][0] += by_row.x + by_column[i];
            scores[i][1] += by_row.y + by_column[i];
            scores[i][2] += by_row.z + by_column[i];
            scores[i][3] += by_row.w + by_column[i];
            float most = largest[i];
#pragma unroll
            for (uint32_t j = 0; j < EACH; j++) most = fmaxf(most, scores[i][j]);
#pragma unroll
            for (uint32_t step = SIDE / 2; step > 0; step /= 2)
                most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, step));
            const float factor = fast_exp2(largest[i] - most);
            largest[i] = most;
            sums[i] *= factor;
#pragma unroll
            for (uint32_t c = 0; c < OUT; c++) mixed[i][c] *= factor;
#pragma unroll
            for (uint32_t j = 0; j < EACH; j++) {
                const float weight = fast_exp2(scores[i][j] - most);
                sums[i] += weight;
                weights[(line + i) * WEIGHTS + column + j * SIDE] = weight;
            }
        }
        __syncwarp();
#pragma unroll 1
        for (uint32_t key = 0; key < KEYS; key += 4) {
            float4 weight[EACH];
#pragma unroll
            for (uint32_t i = 0; i < EACH; i++)
                weight[i] =
                    *reinterpret_cast<const float4 *>(weights + (line + i) * WEIGHTS + key);
#pragma unroll
            for (uint32_t c = 0; c < OUT; c++) {
                const float *value = values + key * WIDTH + column + c * SIDE;
#pragma unroll
                for (uint32_t i = 0; i < EACH; i++) {
                    mixed[i][c] += weight[i].x * value[0];
                    mixed[i][c] += weight[i].y * value[WIDTH];
                    mixed[i][c] += weight[i].z * value[2 * WIDTH];
                    mixed[i][c] += weight[i].w * value[3 * WIDTH];
                }
            }
        }
    }

    DEVICE void attend_all() {
#pragma unroll
        for (uint32_t i = 0; i < EACH; i++) {
            largest[i] = NOTHING;
            sums[i] = 0;
#pragma unroll
            for (uint32_t c = 0; c < OUT; c++) mixed[i][c] = 0;
        }
        for (uint32_t x = 0; x < sizes.side; x += KEY_COLUMNS) {
            float by_column[EACH];
            for (uint32_t y = 0; y < sizes.side; y += KEY_ROWS) {
                __syncthreads();
                read_keys(y, x);
                __syncthreads();
#pragma unroll
                for (uint32_t i = 0; i < EACH; i++)
                    by_column[i] = terms.columns[(line + i) * terms.column_stride + x + column];
                attend(y, by_column);
            }
        }
    }

    DEVICE void write(const float *bias, float *y) const {
        bias += 2 * sizes.width() + window.head * sizes.depth;
        y += window.at(sizes, 1);
#pragma unroll
        for (uint32_t i = 0; i < EACH; i++) {
            float sum = sums[i];
#pragma unroll
            for (uint32_t step = SIDE / 2; step > 0; step /= 2)
                sum += __shfl_xor_sync(ALL_LANES, sum, step);
            const uint32_t q = query(line + i);
            if (q != first + line + i) continue;
            float *to = y + (q / window.columns * sizes.grid + q % window.columns) * sizes.width();
#pragma unroll
            for (uint32_t c = 0; c < OUT; c++) {
                const uint32_t channel = column + c * SIDE;
                if (channel < sizes.depth) to[channel] = mixed[i][c] / sum + bias[channel];
            }
        }
    }
};

template <uint32_t WIDTH>
DEVICE void attention(const float *qkv, const float *bias, const float *positions, float *y,
                      const Sizes &sizes) {
    DYNAMIC_SHARED(float, memory);
    Block<WIDTH> block(sizes, qkv, memory);
    if (block.first >= block.window.count()) return;
    block.read_queries(bias);
    block.position_terms(positions);
    block.attend_all();
    block.write(bias, y);
}

} // namespace

// `depth` at most WIDTH; tokens, and numbers of `qkv` for an image, fewer than 2^32. Threads: 256.
// Shared memory: queries, keys, values, weights, then the queries' terms.
#define ATTENTION(WIDTH)                                                                          \
    KERNEL(rel_pos_attention_f32_to_##WIDTH, 256, const float *qkv, const float *bias,            \
           const float *positions, float *y, uint32_t grid, uint32_t side, uint32_t heads,        \
           uint32_t depth, uint32_t tiles) {                                                      \
        attention<WIDTH>(qkv, bias, positions, y, {grid, side, heads, depth, tiles});             \
    }

ATTENTION(32)
ATTENTION(64)
ATTENTION(80)
ATTENTION(128)
