// Tiles of keys, values and position tables in shared memory, for tensor cores.
#pragma once
#include "window.cuh"

// A tile of 64 rows of WIDTH elements in shared memory, in chunks of 16 bytes, free of bank
// conflicts: 8 adjacent rows are in different banks, because rows are padded by a chunk. Where the
// padding would keep two blocks from sharing a multiprocessor, chunks are swizzled within pairs
// instead.
template <uint32_t WIDTH> struct Tile {
    static constexpr bool SWIZZLED = WIDTH == 80;
    static constexpr uint32_t PAIRS = WIDTH / 16, ROW = WIDTH * 2 + (SWIZZLED ? 0 : 16);
    static constexpr uint32_t BYTES = KEYS * ROW;
    static_assert(WIDTH == 32 || WIDTH == 64 || WIDTH == 80, "rows might share a bank");
    // Offset of the first (0) or second (1) chunk of a row. Chunks two apart are 32 bytes apart.
    DEVICE static uint32_t at(uint32_t row, uint32_t chunk) {
        return row * ROW + (SWIZZLED ? chunk ^ row / 4 % 2 : chunk) * 16;
    }
};

// Four tiles, double-buffered: keys and values being computed on, keys and values being copied.
// WIDTH: channels of a row, zero-filled where a head has fewer; it never has if EXACT.
template <class T, uint32_t WIDTH, bool EXACT> struct Tiles {
    using Rows = Tile<WIDTH>;

    const Sizes sizes;
    const Window window;
    // The head's first element of the token in the window's corner.
    const T *corner;
    unsigned char *memory;
    // Offsets in a tile: of this lane's reads of keys and values, and of this thread's writes of a
    // row.
    const uint32_t key_at, value_at, copy_at;

    DEVICE Tiles(const Sizes &sizes, const T *qkv, unsigned char *memory)
        : sizes(sizes), window(sizes),
          corner(qkv + window.at(sizes, 3)), memory(memory),
          key_at(Rows::at(threadIdx.x % WARP / 16 * 8 + threadIdx.x % 8, threadIdx.x / 8 % 2)),
          value_at(Rows::at(threadIdx.x % 16, threadIdx.x % WARP / 16)),
          copy_at(Rows::at(threadIdx.x / 2, threadIdx.x % 2)) {}

    DEVICE bool there_is(uint32_t channel) const { return EXACT || channel < sizes.depth; }
    DEVICE const T *vector(uint32_t row, uint32_t column) const {
        return corner + (row * sizes.grid + column) * (3 * sizes.width());
    }
    // Slots 0 and 1 are the keys and values of one stage, 2 and 3 of the other.
    DEVICE unsigned char *slot(uint32_t index) const { return memory + index * Rows::BYTES; }

    // Two threads copy a row and alternate its chunks, so that their reads coalesce into one
    // sector. `to`: this thread's offset.
    DEVICE void copy_row(unsigned char *tile, uint32_t to, const T *from, bool wanted) const {
        from += threadIdx.x % 2 * 8;
#pragma unroll
        for (uint32_t i = 0; i < Rows::PAIRS; i++)
            copy_async16(tile + to + 32 * i, from + i * 16,
                         wanted && there_is((2 * i + threadIdx.x % 2) * 8));
    }
    // A thread copies the same row of keys in each stage; with fewer threads several, 16 or 32
    // apart.
    DEVICE void copy_keys(uint32_t stage, uint32_t row, uint32_t column) const {
        const uint32_t threads = blockDim.x;
#pragma unroll 1
        for (uint32_t key = threadIdx.x / 2, to = copy_at; key < KEYS;
             key += threads / 2, to += threads / 2 * Rows::ROW) {
            const uint32_t y = row + key / KEY_COLUMNS, x = column + key % KEY_COLUMNS;
            const bool there = y < window.rows && x < window.columns;
            const T *from = (there ? vector(y, x) : corner) + sizes.width();
            copy_row(slot(2 * stage), to, from, there);
            copy_row(slot(2 * stage + 1), to, from + sizes.width(), there);
        }
    }
    DEVICE void copy_distances(uint32_t index, const T *table, uint32_t distance) const {
        const uint32_t threads = blockDim.x;
#pragma unroll 1
        for (uint32_t row = threadIdx.x / 2, to = copy_at; row < KEYS;
             row += threads / 2, to += threads / 2 * Rows::ROW) {
            const bool there = distance + row <= 2 * (sizes.side - 1);
            copy_row(slot(index), to, table + (there ? distance + row : 0) * sizes.depth, there);
        }
    }

    // Fragments `b` of 16 rows from `row` on (a multiple of 16): channels 16 step and 15 more.
    DEVICE void read_rows(uint32_t (&b)[4], const unsigned char *tile, uint32_t row,
                          uint32_t step) const {
        load_matrices(b, tile + row * Rows::ROW + key_at + 32 * step);
    }
    // The same, transposed: the rows are the reduction dimension.
    DEVICE void read_transposed(uint32_t (&b)[4], const unsigned char *tile, uint32_t row,
                            uint32_t step) const {
        load_matrices_transposed(b, tile + row * Rows::ROW + value_at + 32 * step);
    }
};
