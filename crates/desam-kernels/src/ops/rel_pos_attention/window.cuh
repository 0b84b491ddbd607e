// Shared by both window attention kernels: the tokens of a window, and the relative-position terms of
// a query.
//
// Queries, keys and values are read in place in the grid and results written in place, so a window
// needs neither a gather before nor a scatter after (no window partition).
//
// Nothing is added to keys and values: a bias of the keys adds the same to all of a query's scores
// and cancels in the softmax, and a bias of the values adds itself to their mean. So a token
// beyond the grid is a key and a value of zeros.
#pragma once
#include "device.cuh"

// A tile of keys: 4 rows of 16 columns of the window. Tiles go down 16 columns, then down the next
// 16, so the terms of the key's column stay in registers all the way down, whatever the side. A window
// of 14 fills 3.5 tiles to 7/8.
constexpr uint32_t KEY_COLUMNS = 16, KEY_ROWS = 4, KEYS = KEY_COLUMNS * KEY_ROWS;
// Scores are in units of log 2, so that exponentials are powers of two.
constexpr float LOG2_E = 1.44269504088896341f;
constexpr float NOTHING = -INFINITY;

// Launch parameters: `tiles` blocks take the queries of a window, a head and an image.
struct Sizes {
    uint32_t grid, side, heads, depth, tiles;
    DEVICE uint32_t width() const { return heads * depth; }
    // Stride between the terms of queries, padded so that those of 8 adjacent queries are in
    // different banks.
    DEVICE uint32_t row_stride() const {
        return (side + KEY_ROWS - 1) / KEY_ROWS * KEY_ROWS | KEY_ROWS;
    }
    DEVICE uint32_t column_stride() const {
        return (side + KEY_COLUMNS - 1) / KEY_COLUMNS * KEY_COLUMNS + 8;
    }
};

// One head of one window of one image. Its tokens are counted row by row.
struct Window {
    uint32_t head, tile;
    // Tokens inside the grid; beyond them, up to the side, the window is padded.
    uint32_t rows, columns;
    // The token in its upper left corner, counted from the first image's.
    uint32_t corner;

    DEVICE explicit Window(const Sizes &sizes) {
        uint32_t index = blockIdx.x;
        const uint32_t along = (sizes.grid + sizes.side - 1) / sizes.side;
        tile = index % sizes.tiles;
        index /= sizes.tiles;
        head = index % sizes.heads;
        index /= sizes.heads;
        const uint32_t x = index % along * sizes.side;
        index /= along;
        const uint32_t y = index % along * sizes.side;
        rows = min(sizes.side, sizes.grid - y);
        columns = min(sizes.side, sizes.grid - x);
        corner = (index / along * sizes.grid + y) * sizes.grid + x;
    }

    DEVICE uint32_t count() const { return rows * columns; }
    // Offset of the head's elements of the corner; a token has `parts` vectors of all heads.
    DEVICE size_t at(const Sizes &sizes, uint32_t parts) const {
        return static_cast<size_t>(corner) * (parts * sizes.width()) + head * sizes.depth;
    }
};

// The rows of a position table that queries read, from `low` to `high`: for a query and a key at
// `query` and `key` along an axis it is `query + side - 1 - key`.
struct Distances {
    uint32_t low, high;

    // For the queries from `first` to `last` along rows (`axis` 0) or columns (1).
    DEVICE Distances(const Window &window, uint32_t side, uint32_t first, uint32_t last,
                     uint32_t axis) {
        const uint32_t from = first / window.columns, to = last / window.columns;
        if (axis == 0) {
            low = from;
            high = to + side - 1;
        } else {
            low = from == to ? first % window.columns : 0;
            high = (from == to ? last % window.columns : window.columns - 1) + side - 1;
        }
    }
    DEVICE uint32_t tiles() const { return (high - low) / KEYS + 1; }
};

// Relative-position terms of queries for each key row and key column, times log2 e; nothing beyond the side.
struct Terms {
    float *rows, *columns;
    uint32_t row_stride, column_stride, side;

    DEVICE Terms(const Sizes &sizes, float *memory, uint32_t queries)
        : rows(memory), columns(memory + queries * sizes.row_stride()),
          row_stride(sizes.row_stride()), column_stride(sizes.column_stride()), side(sizes.side) {}

    DEVICE void bound(uint32_t query) const {
        for (uint32_t key = side; key < row_stride; key++) rows[query * row_stride + key] = NOTHING;
        for (uint32_t key = side; key < column_stride; key++)
            columns[query * column_stride + key] = NOTHING;
    }
    // `place`: position of the query along the axis.
    DEVICE void put(uint32_t axis, uint32_t query, uint32_t place, uint32_t distance,
                    float value) const {
        const uint32_t key = place + side - 1 - distance;
        if (key >= side) return;
        if (axis == 0) rows[query * row_stride + key] = value;
        else columns[query * column_stride + key] = value;
    }
};
