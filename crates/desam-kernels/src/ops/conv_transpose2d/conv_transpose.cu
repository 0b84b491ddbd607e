// Pixel shuffle of a 2×2 transposed convolution at stride 2, which turns every pixel into a block of
// four. The matrix product gives blocks [planes, down 2, right 2, height, width]; here they become an
// image [planes, 2 height, 2 width], and an image's gradient becomes blocks (pixel unshuffle). One
// thread moves both columns of `each` pixels in a row of blocks.
#include "device.cuh"

namespace {

// `count` elements, moved by one vector access where they are aligned.
template <class T, uint32_t count> 
struct alignas(sizeof(T) * count < 16 ? sizeof(T) * count : 16) Run {
    T of[count];
};

// Offsets of a thread's elements: in the left column of blocks, and in the image.
struct Place {
    size_t left, right, image;
    bool inside;
};

DEVICE Place place(size_t planes, uint32_t height, uint32_t width, uint32_t each) {
    const uint32_t runs = width / each;
    const size_t at = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const uint32_t column = at % runs * each;
    const size_t row = at / runs;
    const uint32_t down = row % 2, r = row / 2 % height;
    const size_t plane = row / 2 / height, pixels = static_cast<size_t>(height) * width;
    const size_t left = (plane * 4 + down * 2) * pixels + static_cast<size_t>(r) * width + column;
    return {left, left + pixels, row * 2 * width + 2 * column, plane < planes};
}

template <class T, uint32_t each>
DEVICE void join(const T *blocks, T *image, size_t planes, uint32_t height, uint32_t width) {
    const Place at = place(planes, height, width, each);
    if (!at.inside) return;
    const auto left = *reinterpret_cast<const Run<T, each> *>(blocks + at.left);
    const auto right = *reinterpret_cast<const Run<T, each> *>(blocks + at.right);
    Run<T, 2 * each> both;
#pragma unroll
    for (uint32_t i = 0; i < each; i++) both.of[2 * i] = left.of[i], both.of[2 * i + 1] = right.of[i];
    *reinterpret_cast<Run<T, 2 * each> *>(image + at.image) = both;
}

template <class T, uint32_t each>
DEVICE void split(const T *image, T *blocks, size_t planes, uint32_t height, uint32_t width) {
    const Place at = place(planes, height, width, each);
    if (!at.inside) return;
    Run<T, each> left, right;
    const T *from = image + at.image;
    if (each > 1) {
        const auto both = *reinterpret_cast<const Run<T, 2 * each> *>(from);
#pragma unroll
        for (uint32_t i = 0; i < each; i++) left.of[i] = both.of[2 * i], right.of[i] = both.of[2 * i + 1];
    } else {
        left.of[0] = from[0], right.of[0] = from[1];
    }
    *reinterpret_cast<Run<T, each> *>(blocks + at.left) = left;
    *reinterpret_cast<Run<T, each> *>(blocks + at.right) = right;
}

} // namespace

// Four elements per access where `aligned`.
#define TRANSPOSE(T)                                                                              \
    KERNEL(conv_transpose_join_##T, 256, const T *blocks, T *image, uint32_t planes,              \
           uint32_t height, uint32_t width, uint32_t aligned) {                                   \
        if (aligned) join<T, 4>(blocks, image, planes, height, width);                            \
        else join<T, 1>(blocks, image, planes, height, width);                                    \
    }                                                                                             \
    KERNEL(conv_transpose_split_##T, 256, const T *image, T *blocks, uint32_t planes,             \
           uint32_t height, uint32_t width, uint32_t aligned) {                                   \
        if (aligned) split<T, 4>(image, blocks, planes, height, width);                           \
        else split<T, 1>(image, blocks, planes, height, width);                                   \
    }

TRANSPOSE(f32)
TRANSPOSE(bf16)
TRANSPOSE(f16)
