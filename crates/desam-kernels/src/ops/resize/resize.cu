// Bilinear interpolation of planes, half-pixel centres, no antialiasing: one thread per element
// written. Forward it reads four elements. Backward it is a gather over the outputs that read the
// element, row by row, instead of a scatter, so that no atomics are needed.
#include "device.cuh"

namespace {

// The two inputs that an output reads along one axis, and the weight of the second.
struct Tap {
    uint32_t lower, upper;
    float share;
};

// PyTorch's arithmetic: clamped at the low edge before the weights and at the high edge after.
DEVICE Tap tap(uint32_t position, uint32_t from, float scale) {
    const float source = fmaxf(scale * (position + 0.5f) - 0.5f, 0.0f);
    const uint32_t lower = min(static_cast<uint32_t>(source), from - 1);
    return {lower, min(lower + 1, from - 1), fminf(source - lower, 1.0f)};
}

// Weight with which output `position` reads input `at`.
DEVICE float weight(uint32_t at, uint32_t position, uint32_t from, float scale) {
    const Tap t = tap(position, from, scale);
    return (t.lower == at ? 1.0f - t.share : 0.0f) + (t.upper == at ? t.share : 0.0f);
}

// The outputs that may read input `at`: sources within one of it, and a position more on either
// side for rounding; at the edges all that lie beyond.
struct Range {
    uint32_t first, end;
};
DEVICE Range readers(uint32_t at, uint32_t from, uint32_t to) {
    const float step = static_cast<float>(to) / from;
    const float first = floorf((at - 0.5f) * step - 0.5f) - 1.0f;
    const float end = ceilf((at + 1.5f) * step - 0.5f) + 2.0f;
    const bool begins = at == 0 || first < 0.0f, ends = at + 1 == from || end >= to;
    return {begins ? 0 : static_cast<uint32_t>(first), ends ? to : static_cast<uint32_t>(end)};
}

// The plane, and the element in it, of this block and thread. A plane takes `blocks` blocks.
struct Here {
    size_t plane;
    uint32_t row, column;
    bool inside;
};
DEVICE Here here(uint32_t height, uint32_t width, uint32_t blocks) {
    const uint32_t plane = blockIdx.x / blocks;
    const uint32_t at = (blockIdx.x - plane * blocks) * blockDim.x + threadIdx.x;
    const uint32_t row = at / width;
    return {plane, row, at - row * width, row < height};
}

template <class T>
DEVICE void spread(const T *x, T *y, uint32_t h, uint32_t w, uint32_t height, uint32_t width,
                   uint32_t blocks) {
    const Here at = here(height, width, blocks);
    if (!at.inside) return;
    const Tap down = tap(at.row, h, static_cast<float>(h) / height);
    const Tap across = tap(at.column, w, static_cast<float>(w) / width);
    x += at.plane * h * w;
    const auto row = [&](uint32_t row) {
        const T *of = x + static_cast<size_t>(row) * w;
        return widen(of[across.lower]) * (1.0f - across.share) + widen(of[across.upper]) * across.share;
    };
    const float sum = row(down.lower) * (1.0f - down.share) + row(down.upper) * down.share;
    y[(at.plane * height + at.row) * width + at.column] = narrow<T>(sum);
}

template <class T>
DEVICE void gather(const T *grad, T *dx, uint32_t h, uint32_t w, uint32_t height, uint32_t width,
                   uint32_t blocks) {
    const Here at = here(h, w, blocks);
    if (!at.inside) return;
    const float down = static_cast<float>(h) / height, across = static_cast<float>(w) / width;
    const Range rows = readers(at.row, h, height), columns = readers(at.column, w, width);
    grad += at.plane * height * width;
    float sum = 0;
    for (uint32_t i = rows.first; i < rows.end; i++) {
        const float share = weight(at.row, i, h, down);
        if (share == 0.0f) continue;
        const T *of = grad + static_cast<size_t>(i) * width;
        float line = 0;
        for (uint32_t j = columns.first; j < columns.end; j++)
            line += widen(of[j]) * weight(at.column, j, w, across);
        sum += share * line;
    }
    dx[(at.plane * h + at.row) * w + at.column] = narrow<T>(sum);
}

} // namespace

#define RESIZE(T)                                                                               \
    KERNEL(resize_##T, 256, const T *x, T *y, uint32_t h, uint32_t w, uint32_t height,          \
           uint32_t width, uint32_t blocks) {                                                   \
        spread(x, y, h, w, height, width, blocks);                                              \
    }                                                                                           \
    KERNEL(resize_gradient_##T, 256, const T *grad, T *dx, uint32_t h, uint32_t w,              \
           uint32_t height, uint32_t width, uint32_t blocks) {                                  \
        gather(grad, dx, h, w, height, width, blocks);                                          \
    }

RESIZE(f32)
RESIZE(bf16)
RESIZE(f16)
