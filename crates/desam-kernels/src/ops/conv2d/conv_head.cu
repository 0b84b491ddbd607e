// 1×1 convolution to a single output channel (the mask head), and its input gradient. Memory-bound:
// forward by reading x, backward by writing ∂x. One thread per eight adjacent pixels, over all
// input channels.
#include "device.cuh"

namespace {

constexpr uint32_t RUN = 8;

template <class T> struct alignas(16) Eight {
    T of[RUN];
};

// `aligned`: eight pixels from a multiple of eight on can be read in one load.
template <class T, bool aligned> struct Planes {
    uint32_t images, inputs, pixels;

    // The first of this thread's pixels, and its image; none beyond the end.
    DEVICE uint32_t pixel() const { return thread() % runs() * RUN; }
    DEVICE uint32_t image() const { return thread() / runs(); }
    DEVICE uint32_t thread() const { return blockIdx.x * blockDim.x + threadIdx.x; }
    DEVICE uint32_t runs() const { return (pixels + RUN - 1) / RUN; }

    DEVICE void load(float (&to)[RUN], const T *from) const {
        if (aligned) {
            const auto eight = *reinterpret_cast<const Eight<T> *>(from);
#pragma unroll
            for (uint32_t i = 0; i < RUN; i++) to[i] = widen(eight.of[i]);
            return;
        }
        const uint32_t left = pixels - pixel();
#pragma unroll
        for (uint32_t i = 0; i < RUN; i++) to[i] = i < left ? widen(from[i]) : 0.0f;
    }

    DEVICE void store(T *to, const float (&from)[RUN]) const {
        if (aligned) {
            Eight<T> eight;
#pragma unroll
            for (uint32_t i = 0; i < RUN; i++) eight.of[i] = narrow<T>(from[i]);
            *reinterpret_cast<Eight<T> *>(to) = eight;
            return;
        }
        const uint32_t left = pixels - pixel();
#pragma unroll
        for (uint32_t i = 0; i < RUN; i++)
            if (i < left) to[i] = narrow<T>(from[i]);
    }
};

// y [images, pixels] from x [images, inputs, pixels].
template <class T, bool aligned>
DEVICE void draw(const T *x, const float *weight, T *y, const Planes<T, aligned> &of) {
    const size_t image = of.image();
    if (image >= of.images) return;
    x += image * of.inputs * of.pixels + of.pixel();
    float sum[RUN] = {};
    uint32_t input = 0;
    // Several loads are in flight at once.
    for (; input + 4 <= of.inputs; input += 4) {
        float seen[4][RUN];
#pragma unroll
        for (uint32_t j = 0; j < 4; j++)
            of.load(seen[j], x + static_cast<size_t>(input + j) * of.pixels);
#pragma unroll
        for (uint32_t j = 0; j < 4; j++)
#pragma unroll
            for (uint32_t i = 0; i < RUN; i++) sum[i] += weight[input + j] * seen[j][i];
    }
    for (; input < of.inputs; input++) {
        float seen[RUN];
        of.load(seen, x + static_cast<size_t>(input) * of.pixels);
#pragma unroll
        for (uint32_t i = 0; i < RUN; i++) sum[i] += weight[input] * seen[i];
    }
    of.store(y + image * of.pixels + of.pixel(), sum);
}

// x [images, inputs, pixels] from grad [images, pixels].
template <class T, bool aligned>
DEVICE void spread(const T *grad, const float *weight, T *x, const Planes<T, aligned> &of) {
    const size_t image = of.image();
    if (image >= of.images) return;
    x += image * of.inputs * of.pixels + of.pixel();
    float seen[RUN], made[RUN];
    of.load(seen, grad + image * of.pixels + of.pixel());
#pragma unroll 4
    for (uint32_t input = 0; input < of.inputs; input++) {
        const float by = weight[input];
#pragma unroll
        for (uint32_t i = 0; i < RUN; i++) made[i] = by * seen[i];
        of.store(x + static_cast<size_t>(input) * of.pixels, made);
    }
}

} // namespace

#define HEAD(T)                                                                                   \
    KERNEL(conv_head_##T, 256, const T *x, const float *weight, T *y, uint32_t images,            \
           uint32_t inputs, uint32_t pixels, uint32_t aligned) {                                  \
        if (aligned) draw(x, weight, y, Planes<T, true>{images, inputs, pixels});                 \
        else draw(x, weight, y, Planes<T, false>{images, inputs, pixels});                        \
    }                                                                                             \
    KERNEL(conv_head_backward_##T, 256, const T *grad, const float *weight, T *x, uint32_t images,    \
           uint32_t inputs, uint32_t pixels, uint32_t aligned) {                                  \
        if (aligned) spread(grad, weight, x, Planes<T, true>{images, inputs, pixels});            \
        else spread(grad, weight, x, Planes<T, false>{images, inputs, pixels});                   \
    }

HEAD(f32)
HEAD(bf16)
HEAD(f16)
