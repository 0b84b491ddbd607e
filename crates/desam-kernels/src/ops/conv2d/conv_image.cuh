// Loads image tiles for tensor cores: from planes in global memory to channels-last pixels in
// shared memory, so that the taps of a kernel are shifts by whole pixels and the rows of
// `load_matrices` stay aligned. A piece is a 16-byte vector (uint4) of eight channels of a pixel.
#pragma once
#include "device.cuh"

// One image [channels, height, width]. `pairs`: width and the first element's offset are even.
struct Extent {
    uint32_t channels, height, width, pairs;

    DEVICE size_t pixels() const { return static_cast<size_t>(height) * width; }
};

// Loads the pixels (row, column) and (row, column + 1), `column` even, of eight channels from
// `channel` on, a pair of pixels a word. Zero padding outside the image: a negative row or column
// has wrapped around to a large number.
template <class T>
DEVICE void fetch(uint32_t (&words)[8], const T *image, const Extent &of, uint32_t channel,
                  uint32_t row, uint32_t column) {
    const bool first = row < of.height && column < of.width;
    const bool second = row < of.height && column + 1 < of.width;
    const T *at = image + (channel * of.pixels() + static_cast<size_t>(row) * of.width + column);
#pragma unroll
    for (uint32_t i = 0; i < 8; i++) {
        const T *pixel = at + i * of.pixels();
        const bool known = channel + i < of.channels;
        if (of.pairs) {
            words[i] = known && first ? *reinterpret_cast<const uint32_t *>(pixel) : 0;
        } else {
            words[i] = known && first ? pixel[0].bits : 0;
            words[i] |= known && second ? static_cast<uint32_t>(pixel[1].bits) << 16 : 0;
        }
    }
}

DEVICE uint32_t low_halves(uint32_t a, uint32_t b) { return (a & 0xffffu) | b << 16; }
DEVICE uint32_t high_halves(uint32_t a, uint32_t b) { return a >> 16 | (b & 0xffff0000u); }

// Transpose the pairs in registers to the two pixels' pieces.
DEVICE uint4 first_piece(const uint32_t (&w)[8]) {
    return make_uint4(low_halves(w[0], w[1]), low_halves(w[2], w[3]), low_halves(w[4], w[5]),
                      low_halves(w[6], w[7]));
}
DEVICE uint4 second_piece(const uint32_t (&w)[8]) {
    return make_uint4(high_halves(w[0], w[1]), high_halves(w[2], w[3]), high_halves(w[4], w[5]),
                      high_halves(w[6], w[7]));
}
