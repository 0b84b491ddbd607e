// Elementwise activations, forward and backward: four elements per thread and step, GROUPS steps whose
// loads are in flight at once; the elements of a block are contiguous.
#include "activation.cuh"
#include "wide.cuh"

namespace {

constexpr unsigned THREADS = 256, GROUPS = 4;

// Offset of this thread's group `g`.
DEVICE size_t group(unsigned g) {
    return ((static_cast<size_t>(blockIdx.x) * GROUPS + g) * THREADS + threadIdx.x) * 4;
}
DEVICE uint32_t rest(size_t count, size_t at) {
    return at < count ? static_cast<uint32_t>(min(count - at, static_cast<size_t>(4))) : 0;
}

template <class T, class F> DEVICE void forward(const T *x, T *y, size_t count, float slope) {
    const bool aligned = in_fours(x, 4) && in_fours(y, 4);
    Four v[GROUPS];
#pragma unroll
    for (unsigned g = 0; g < GROUPS; g++) {
        const uint32_t some = rest(count, group(g));
        v[g] = load_some(x + group(g), some, aligned && some % 4 == 0);
    }
#pragma unroll
    for (unsigned g = 0; g < GROUPS; g++) {
        const uint32_t some = rest(count, group(g));
#pragma unroll
        for (unsigned i = 0; i < 4; i++) v[g].v[i] = F::at(v[g].v[i], slope);
        store_some(y + group(g), v[g], some, aligned && some % 4 == 0);
    }
}

template <class T, class F>
DEVICE void backward(const T *x, const T *grad, T *dx, size_t count, float slope) {
    const bool aligned = in_fours(x, 4) && in_fours(grad, 4) && in_fours(dx, 4);
    Four v[GROUPS], d[GROUPS];
#pragma unroll
    for (unsigned g = 0; g < GROUPS; g++) {
        const uint32_t some = rest(count, group(g));
        v[g] = load_some(x + group(g), some, aligned && some % 4 == 0);
        d[g] = load_some(grad + group(g), some, aligned && some % 4 == 0);
    }
#pragma unroll
    for (unsigned g = 0; g < GROUPS; g++) {
        const uint32_t some = rest(count, group(g));
#pragma unroll
        for (unsigned i = 0; i < 4; i++) v[g].v[i] = F::derivative(v[g].v[i], d[g].v[i], slope);
        store_some(dx + group(g), v[g], some, aligned && some % 4 == 0);
    }
}

// y [images, period] ← x + to [period]: the elements of a block are of one image (broadcast add).
template <class T>
DEVICE void added(const T *x, const T *to, T *y, uint32_t tiles, uint32_t period) {
    const size_t image = static_cast<size_t>(blockIdx.x / tiles) * period;
    const uint32_t first = blockIdx.x % tiles * (GROUPS * THREADS * 4) + threadIdx.x * 4;
    const bool whole = in_fours(x, period) && in_fours(to, period) && in_fours(y, period);
    Four v[GROUPS], w[GROUPS];
#pragma unroll
    for (unsigned g = 0; g < GROUPS; g++) {
        const uint32_t at = first + g * THREADS * 4, some = left(period, at);
        v[g] = load_some(x + image + at, some, whole);
        w[g] = load_some(to + at, some, whole);
    }
#pragma unroll
    for (unsigned g = 0; g < GROUPS; g++) {
        const uint32_t at = first + g * THREADS * 4;
#pragma unroll
        for (unsigned i = 0; i < 4; i++) v[g].v[i] += w[g].v[i];
        store_some(y + image + at, v[g], left(period, at), whole);
    }
}

// A count is passed as two halves of 32 bits.
DEVICE size_t joined(uint32_t low, uint32_t high) { return static_cast<size_t>(high) << 32 | low; }

} // namespace

#define POINTWISE(T, name, F)                                                                \
    KERNEL(pointwise_##name##_##T, 256, const T *x, T *y, uint32_t low, uint32_t high,       \
           float slope) {                                                                    \
        forward<T, F>(x, y, joined(low, high), slope);                                       \
    }                                                                                        \
    KERNEL(pointwise_##name##_backward_##T, 256, const T *x, const T *grad, T *dx, uint32_t low, \
           uint32_t high, float slope) {                                                     \
        backward<T, F>(x, grad, dx, joined(low, high), slope);                               \
    }
#define ALL(T)                         \
    KERNEL(pointwise_added_##T, 256, const T *x, const T *to, T *y, uint32_t tiles,          \
           uint32_t period) {                                                                \
        added(x, to, y, tiles, period);                                                      \
    }                                                                                        \
    POINTWISE(T, relu, Relu)           \
    POINTWISE(T, leaky_relu, LeakyRelu) \
    POINTWISE(T, gelu, Gelu)

ALL(f32)
ALL(bf16)
ALL(f16)
