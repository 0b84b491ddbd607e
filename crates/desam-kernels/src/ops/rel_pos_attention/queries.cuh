// The queries of a block for tensor cores, and their relative-position terms.
#pragma once
#include "tiles.cuh"

// Sixteen-row fragments `a` of queries that a warp holds, and all its queries.
constexpr uint32_t OPERANDS = 2, QUERIES = 16 * OPERANDS;

template <class T, uint32_t WIDTH, bool EXACT> struct Queries {
    static constexpr uint32_t STEPS = WIDTH / 16;

    const Tiles<T, WIDTH, EXACT> &tiles;
    const Sizes &sizes;
    const Window &window;
    const Terms terms;
    const uint32_t lane = threadIdx.x % WARP;
    // The warp's first query, in the block and in the window.
    const uint32_t base = threadIdx.x / WARP * QUERIES, first;
    uint32_t operands[OPERANDS][STEPS][4];

    DEVICE explicit Queries(const Tiles<T, WIDTH, EXACT> &tiles)
        : tiles(tiles), sizes(tiles.sizes), window(tiles.window),
          terms(sizes, reinterpret_cast<float *>(tiles.slot(4)), blockDim.x),
          first(window.tile * blockDim.x + base) {}

    // Whether the warp has any query: the last block of a window may be partly empty.
    DEVICE bool works() const { return first < window.count(); }

    // Query of a row of this thread's accumulators, in the block (`line`) and in the window
    // (`query`). Beyond the window's end, the last query.
    DEVICE uint32_t line(uint32_t operand, uint32_t half) const {
        return base + operand * 16 + half * 8 + lane / 4;
    }
    DEVICE uint32_t query(uint32_t operand, uint32_t half) const {
        return min(first - base + line(operand, half), window.count() - 1);
    }

    DEVICE void read(const float *bias) {
        const float scale = LOG2_E / sqrtf(static_cast<float>(sizes.depth));
        bias += window.head * sizes.depth;
#pragma unroll
        for (uint32_t o = 0; o < OPERANDS; o++) {
#pragma unroll
            for (uint32_t i = 0; i < 4; i++) {
                const uint32_t q = query(o, i % 2);
                const T *from = tiles.vector(q / window.columns, q % window.columns);
#pragma unroll
                for (uint32_t k = 0; k < STEPS; k++) {
                    const uint32_t channel = 16 * k + i / 2 * 8 + lane % 4 * 2;
                    operands[o][k][i] = 0;
                    if (!tiles.there_is(channel)) continue;
                    const float2 x =
                        widen_pair<T>(*reinterpret_cast<const uint32_t *>(from + channel));
                    operands[o][k][i] = narrow_pair<T>((x.x + bias[channel]) * scale,
                                                      (x.y + bias[channel + 1]) * scale);
                }
            }
        }
    }

    // Terms of the warp's queries for the 64 distances in `tile`, of which the first is `low`.
    DEVICE void add_terms(const unsigned char *tile, uint32_t axis, uint32_t low) const {
        const float root = sqrtf(static_cast<float>(sizes.depth));
        const uint32_t last = min(first + QUERIES, window.count()) - 1;
        const Distances wanted(window, sizes.side, first, last, axis);
#pragma unroll 1
        for (uint32_t row = 0; row < KEYS; row += 16) {
            if (low + row > wanted.high || low + row + 15 < wanted.low) continue;
            float found[OPERANDS][2][4] = {};
#pragma unroll
            for (uint32_t k = 0; k < STEPS; k++) {
                uint32_t b[4];
                tiles.read_rows(b, tile, row, k);
#pragma unroll
                for (uint32_t o = 0; o < OPERANDS; o++) {
                    mma<T>(found[o][0], operands[o][k], {b[0], b[1]});
                    mma<T>(found[o][1], operands[o][k], {b[2], b[3]});
                }
            }
#pragma unroll
            for (uint32_t o = 0; o < OPERANDS; o++) {
#pragma unroll
                for (uint32_t half = 0; half < 2; half++) {
                    const uint32_t q = query(o, half);
                    const uint32_t place = axis == 0 ? q / window.columns : q % window.columns;
#pragma unroll
                    for (uint32_t i = 0; i < 4; i++) {
                        const uint32_t distance = low + row + i / 2 * 8 + lane % 4 * 2 + i % 2;
                        terms.put(axis, line(o, half), place, distance,
                                  found[o][i / 2][half * 2 + i % 2] * root);
                    }
                }
            }
        }
    }

    // All terms of the block. The copy of the first tile of keys is in flight meanwhile.
    DEVICE void position_terms(const T *positions) {
        const uint32_t from = window.tile * blockDim.x;
        const uint32_t to = min(from + blockDim.x, window.count()) - 1;
        const Distances along[2] = {{window, sizes.side, from, to, 0},
                                    {window, sizes.side, from, to, 1}};
        const uint32_t rows = along[0].tiles(), all = rows + along[1].tiles();
        const uint32_t table = (2 * sizes.side - 1) * sizes.depth;
        terms.bound(threadIdx.x);
        const auto low = [&](uint32_t i) {
            return i < rows ? along[0].low + i * KEYS : along[1].low + (i - rows) * KEYS;
        };
        for (uint32_t i = 0; i < all; i += 2) {
            for (uint32_t j = i; j < min(i + 2, all); j++)
                tiles.copy_distances(2 + j - i, j < rows ? positions : positions + table, low(j));
            commit_async();
            if (i == 0) {
                tiles.copy_keys(0, 0, 0);
                commit_async();
                wait_async<1>();
            } else {
                wait_async<0>();
            }
            __syncthreads();
            for (uint32_t j = i; j < min(i + 2, all) && works(); j++)
                add_terms(tiles.slot(2 + j - i), j < rows ? 0 : 1, low(j));
            __syncthreads();
        }
    }
};
