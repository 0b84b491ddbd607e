// What both attention kernels share: which tokens a block sees, and where it keeps what a query
// makes of the position tables.
//
// Queries, keys and values are read where they lie in the grid and results written where they
// belong, so a window needs neither a gather before nor a scatter behind.
//
// Nothing is added to keys and values: a bias of the keys adds the same to all of a query's scores,
// which the softmax does not see, and a bias of the values adds itself to their mean. So a token
// beyond the grid is a key and a value of zeros.
#pragma once
#include "device.cuh"

// A tile of keys: 4 rows of 16 columns of the square. Tiles go down 16 columns, then down the next
// 16, so what queries make of the key's column stays in registers for a whole way down, whatever
// the side. A window of 14 fills 3.5 tiles to 7/8.
constexpr uint32_t KEY_COLUMNS = 16, KEY_ROWS = 4, KEYS = KEY_COLUMNS * KEY_ROWS;
// Scores are powers of two.
constexpr float LOG2_E = 1.44269504088896341f;
constexpr float NOTHING = -INFINITY;

// As the launch gives them: `tiles` blocks take the queries of a square, a head and an image.
struct Sizes {
    uint32_t grid, side, heads, depth, tiles;
    DEVICE uint32_t width() const { return heads * depth; }
    // How far apart a query's terms lie: for 8 queries side by side in different banks.
    DEVICE uint32_t row_stride() const {
        return (side + KEY_ROWS - 1) / KEY_ROWS * KEY_ROWS | KEY_ROWS;
    }
    DEVICE uint32_t column_stride() const {
        return (side + KEY_COLUMNS - 1) / KEY_COLUMNS * KEY_COLUMNS + 8;
    }
};

// One head of one square of one image. Its tokens are counted row by row.
struct Square {
    uint32_t head, tile;
    // Tokens that there are; beyond them, up to the side, the grid has ended.
    uint32_t rows, columns;
    // The token in its upper left corner, counted from the first image's.
    uint32_t corner;

    DEVICE explicit Square(const Sizes &sizes) {
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
    // Where the head's numbers of the corner begin, `parts` vectors of all heads a token.
    DEVICE size_t at(const Sizes &sizes, uint32_t parts) const {
        return static_cast<size_t>(corner) * (parts * sizes.width()) + head * sizes.depth;
    }
};

// The lines of a position table that queries meet, from `low` to `high`: for a query and a key at
// `query` and `key` along an axis it is `query + side - 1 - key`.
struct Distances {
    uint32_t low, high;

    // For the queries from `first` to `last` along rows (`axis` 0) or columns (1).
    DEVICE Distances(const Square &square, uint32_t side, uint32_t first, uint32_t last,
                     uint32_t axis) {
        const uint32_t from = first / square.columns, to = last / square.columns;
        if (axis == 0) {
            low = from;
            high = to + side - 1;
        } else {
            low = from == to ? first % square.columns : 0;
            high = (from == to ? last % square.columns : square.columns - 1) + side - 1;
        }
    }
    DEVICE uint32_t tiles() const { return (high - low) / KEYS + 1; }
};

// What queries make of each key row and each key column, times log2 e; nothing beyond the side.
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
    // `place`: where the query stands along the axis.
    DEVICE void put(uint32_t axis, uint32_t query, uint32_t place, uint32_t distance,
                    float value) const {
        const uint32_t key = place + side - 1 - distance;
        if (key >= side) return;
        if (axis == 0) rows[query * row_stride + key] = value;
        else columns[query * column_stride + key] = value;
    }
};
