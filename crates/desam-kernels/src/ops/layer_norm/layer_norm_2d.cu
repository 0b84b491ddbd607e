// Layer norm over the channels of [images, channels, pixels] (LayerNorm2d), forward and backward:
// one block per 32 pixels, one lane per pixel, every eighth channel to each of its eight warps.
// Adjacent lanes read adjacent pixels, so accesses are coalesced; later passes hit the cache.
#include "device.cuh"

namespace {

constexpr unsigned WARPS = 8;

// Sum over the block's warps, lane by lane, the same in each warp.
DEVICE float over_warps(float x) {
    SHARED(float, parts, WARPS * WARP);
    const unsigned lane = threadIdx.x % WARP;
    __syncthreads();
    parts[threadIdx.x] = x;
    __syncthreads();
    float sum = 0;
#pragma unroll
    for (unsigned w = 0; w < WARPS; w++) sum += parts[w * WARP + lane];
    return sum;
}

// The pixel of this thread.
struct Place {
    size_t begin; // of the image's first channel at this pixel
    uint32_t image, pixel, channels, pixels, warp;
    bool inside;

    DEVICE size_t of(uint32_t channel) const {
        return begin + static_cast<size_t>(channel) * pixels;
    }
};

DEVICE Place place(uint32_t channels, uint32_t pixels) {
    const uint32_t tiles = (pixels + WARP - 1) / WARP;
    Place at;
    at.image = blockIdx.x / tiles;
    at.pixel = blockIdx.x % tiles * WARP + threadIdx.x % WARP;
    at.inside = at.pixel < pixels;
    at.channels = channels;
    at.pixels = pixels;
    at.warp = threadIdx.x / WARP;
    at.begin = static_cast<size_t>(at.image) * channels * pixels + (at.inside ? at.pixel : 0);
    return at;
}

struct Moments {
    float mean, scale;
};

template <class T> DEVICE Moments moments(const T *x, const Place &at, float eps) {
    float sum = 0, squares = 0;
#pragma unroll 8
    for (uint32_t c = at.warp; c < at.channels; c += WARPS) sum += widen(x[at.of(c)]);
    const float mean = over_warps(sum) / at.channels;
#pragma unroll 8
    for (uint32_t c = at.warp; c < at.channels; c += WARPS) {
        const float d = widen(x[at.of(c)]) - mean;
        squares += d * d;
    }
    return {mean, 1.0f / sqrtf(over_warps(squares) / at.channels + eps)};
}

template <class T>
DEVICE void forward(const T *x, const float *weight, const float *bias, T *y, const Place &at,
                    float eps) {
    const Moments m = moments(x, at, eps);
    if (!at.inside) return;
#pragma unroll 8
    for (uint32_t c = at.warp; c < at.channels; c += WARPS)
        y[at.of(c)] = narrow<T>((widen(x[at.of(c)]) - m.mean) * m.scale * weight[c] + bias[c]);
}

// With n the normalised x and h = ∂y · weight: ∂x = scale · (h - mean(h) - n · mean(h · n)). Mean
// and scale of each pixel are stored in `seen` [images, 2, pixels].
template <class T>
DEVICE void backward(const T *x, const T *grad, const float *weight, T *dx, float *seen,
                     const Place &at, float eps) {
    const Moments m = moments(x, at, eps);
    float sum = 0, along = 0;
#pragma unroll 2
    for (uint32_t c = at.warp; c < at.channels; c += WARPS) {
        const float h = widen(grad[at.of(c)]) * weight[c];
        sum += h;
        along += h * ((widen(x[at.of(c)]) - m.mean) * m.scale);
    }
    sum = over_warps(sum) / at.channels;
    along = over_warps(along) / at.channels;
    if (!at.inside) return;
#pragma unroll 2
    for (uint32_t c = at.warp; c < at.channels; c += WARPS) {
        const float n = (widen(x[at.of(c)]) - m.mean) * m.scale;
        dx[at.of(c)] =
            narrow<T>(m.scale * (widen(grad[at.of(c)]) * weight[c] - sum - n * along));
    }
    if (at.warp != 0) return;
    const size_t first = static_cast<size_t>(at.image) * 2 * at.pixels + at.pixel;
    seen[first] = m.mean;
    seen[first + at.pixels] = m.scale;
}

// Sums of ∂y · n and of ∂y over a plane, one block per plane: `parts` [images, 2, channels].
template <class T>
DEVICE void sums(const T *x, const T *grad, const float *seen, float *parts, uint32_t channels,
                 uint32_t pixels) {
    const uint32_t image = blockIdx.x / channels, channel = blockIdx.x % channels;
    const size_t plane = static_cast<size_t>(blockIdx.x) * pixels;
    seen += static_cast<size_t>(image) * 2 * pixels;
    float dw = 0, db = 0;
#pragma unroll 4
    for (uint32_t p = threadIdx.x; p < pixels; p += blockDim.x) {
        const float g = widen(grad[plane + p]);
        dw += g * ((widen(x[plane + p]) - seen[p]) * seen[pixels + p]);
        db += g;
    }
    dw = block_sum(dw);
    db = block_sum(db);
    if (threadIdx.x != 0) return;
    parts[static_cast<size_t>(image) * 2 * channels + channel] = dw;
    parts[(static_cast<size_t>(image) * 2 + 1) * channels + channel] = db;
}

} // namespace

#define LAYER_NORM_2D(T)                                                                       \
    KERNEL(layer_norm_2d_##T, 256, const T *x, const float *weight, const float *bias, T *y,   \
           uint32_t channels, uint32_t pixels, float eps) {                                    \
        forward(x, weight, bias, y, place(channels, pixels), eps);                             \
    }                                                                                          \
    KERNEL(layer_norm_2d_backward_##T, 256, const T *x, const T *grad, const float *weight, T *dx, \
           float *seen, uint32_t channels, uint32_t pixels, float eps) {                       \
        backward(x, grad, weight, dx, seen, place(channels, pixels), eps);                     \
    }                                                                                          \
    KERNEL(layer_norm_2d_sums_##T, 256, const T *x, const T *grad, const float *seen,          \
           float *parts, uint32_t channels, uint32_t pixels) {                                 \
        sums(x, grad, seen, parts, channels, pixels);                                          \
    }

LAYER_NORM_2D(f32)
LAYER_NORM_2D(bf16)
LAYER_NORM_2D(f16)
