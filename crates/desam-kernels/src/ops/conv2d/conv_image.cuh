// Loads images for tensor cores: from planes in global memory to shared memory with channels last, so
// that the taps of a kernel are shifts by whole pixels and rows of `load_matrices` stay aligned. A piece
// is eight channels of a pixel, 16 bytes (a uint4).
#pragma once
#include "device.cuh"

// One image [channels, height, width]. `pairs`: width and the first element's offset are even.
struct Extent {
    uint32_t channels, height, width, pairs;

    DEVICE size_t pixels() const { return static_cast<size_t>(height) * width; }
};

// The pixels (row, column) and (row, column + 1), `column` even, of eight channels from `channel` on,
// a pair of pixels a word. Zeros where there is no image; a row or column before it has wrapped around.
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

// The pieces of the two pixels.
DEVICE uint4 first_piece(const uint32_t (&w)[8]) {
    return make_uint4(low_halves(w[0], w[1]), low_halves(w[2], w[3]), low_halves(w[4], w[5]),
                      low_halves(w[6], w[7]));
}
DEVICE uint4 second_piece(const uint32_t (&w)[8]) {
    return make_uint4(high_halves(w[0], w[1]), high_halves(w[2], w[3]), high_halves(w[4], w[5]),
                      high_halves(w[6], w[7]));
}
