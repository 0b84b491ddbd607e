// Multi-head cross-attention, backward: scores are recomputed, not stored. With p the weights, s the
// scores, δ = Σ y ∂y of a query: ∂s = p · (∂y · v - δ), ∂q = scale · Σ ∂s k, ∂k = scale · Σ ∂s q,
// ∂v = Σ p ∂y.
// Each thread owns a token of the longer sequence and sums its gradients over the shorter one. The
// gradients of the shorter sequence are sums over all threads: each block writes partial sums to `parts`.
#include "heads.cuh"

namespace {

constexpr unsigned SHORT = 16; // tokens of the shorter sequence per step

// One block per 256 queries of one head: writes dq; `parts` [blocks of an image and head, 2, N, K, C].
template <unsigned D, class T>
DEVICE void few_keys_backward(const T *q, const T *k, const T *v, const T *y, const T *grad,
                          const float *seen, T *dq, float *parts, const Sizes &size,
                          uint32_t images) {
    SHARED(float, keys, SHORT * D);
    SHARED(float, values, SHORT * D);
    SHARED(float, sums, WARPS * SHORT * 2 * D);
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const uint32_t tiles = (size.queries + THREADS - 1) / THREADS, channels = size.heads * D;
    const uint32_t tile = blockIdx.x % tiles, head = blockIdx.x / tiles % size.heads;
    const uint32_t image = blockIdx.x / tiles / size.heads, query = tile * THREADS + threadIdx.x;
    const bool inside = query < size.queries;
    const size_t at = (static_cast<size_t>(image) * size.queries + query) * channels + head * D;
    const size_t begin = static_cast<size_t>(image) * size.keys * channels + head * D;
    const size_t both = static_cast<size_t>(images) * size.keys * channels;
    parts += static_cast<size_t>(tile) * 2 * both + begin;
    k += begin;
    v += begin;
    float mine[D], g[D], dmine[D];
    float height = 0, delta = 0;
#pragma unroll
    for (unsigned i = 0; i < D; i++) mine[i] = g[i] = dmine[i] = 0;
    if (inside) {
        load(dmine, y + at);
        load(g, grad + at);
        load(mine, q + at);
#pragma unroll
        for (unsigned i = 0; i < D; i++) {
            delta = fmaf(dmine[i], g[i], delta);
            dmine[i] = 0;
        }
        height = seen[(static_cast<size_t>(image) * size.heads + head) * size.queries + query];
    }
#pragma unroll 1
    for (uint32_t first = 0; first < size.keys; first += SHORT) {
        const uint32_t count = min(SHORT, size.keys - first);
        __syncthreads();
#pragma unroll 1
        for (uint32_t i = threadIdx.x; i < count * D; i += THREADS) {
            const size_t from = static_cast<size_t>(first + i / D) * channels + i % D;
            keys[i] = widen(k[from]);
            values[i] = widen(v[from]);
        }
        __syncthreads();
#pragma unroll 1
        for (uint32_t j = 0; j < count; j++) {
            const float score = dot(mine, keys + j * D) * (size.scale * LOG2_E);
            const float p = inside ? fast_exp2(score - height) : 0.0f;
            const float ds = p * (dot(g, values + j * D) - delta) * size.scale;
            add(dmine, ds, keys + j * D);
            float dk[D], dv[D];
#pragma unroll
            for (unsigned i = 0; i < D; i++) {
                dk[i] = ds * mine[i];
                dv[i] = p * g[i];
            }
            const float of_key = spread_sums(dk), of_value = spread_sums(dv);
            if (lane < D) {
                sums[((warp * SHORT + j) * 2) * D + lane] = of_key;
                sums[((warp * SHORT + j) * 2 + 1) * D + lane] = of_value;
            }
        }
        __syncthreads();
#pragma unroll 1
        for (uint32_t i = threadIdx.x; i < count * 2 * D; i += THREADS) {
            float sum = 0;
#pragma unroll
            for (unsigned w = 0; w < WARPS; w++) sum += sums[w * SHORT * 2 * D + i];
            const uint32_t j = i / (2 * D), which = i / D % 2;
            parts[which * both + static_cast<size_t>(first + j) * channels + i % D] = sum;
        }
    }
    if (inside) store(dq + at, dmine, 1.0f);
}

// One block per 256 keys of one head: writes `dkv` [2, N, K, C], keys and values; `parts` [blocks of an image
// and head, N, Q, C].
template <unsigned D, class T>
DEVICE void few_queries_backward(const T *q, const T *k, const T *v, const T *y, const T *grad,
                             const float *seen, T *dkv, float *parts, const Sizes &size,
                             uint32_t images) {
    SHARED(float, asked, SHORT * D);
    SHARED(float, grads, SHORT * D);
    SHARED(float, heights, SHORT);
    SHARED(float, deltas, SHORT);
    SHARED(float, sums, WARPS * SHORT * D);
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const uint32_t tiles = (size.keys + THREADS - 1) / THREADS, channels = size.heads * D;
    const uint32_t tile = blockIdx.x % tiles, head = blockIdx.x / tiles % size.heads;
    const uint32_t image = blockIdx.x / tiles / size.heads, key = tile * THREADS + threadIdx.x;
    const bool inside = key < size.keys;
    const size_t at = (static_cast<size_t>(image) * size.keys + key) * channels + head * D;
    const size_t begin = static_cast<size_t>(image) * size.queries * channels + head * D;
    q += begin;
    y += begin;
    grad += begin;
    seen += (static_cast<size_t>(image) * size.heads + head) * size.queries;
    parts += static_cast<size_t>(tile) * images * size.queries * channels + begin;
    float mine[D], value[D], dk[D], dv[D];
#pragma unroll
    for (unsigned i = 0; i < D; i++) mine[i] = value[i] = dk[i] = dv[i] = 0;
    if (inside) {
        load(mine, k + at);
        load(value, v + at);
    }
#pragma unroll 1
    for (uint32_t first = 0; first < size.queries; first += SHORT) {
        const uint32_t count = min(SHORT, size.queries - first);
        __syncthreads();
#pragma unroll 1
        for (uint32_t i = threadIdx.x; i < count * D; i += THREADS) {
            const size_t from = static_cast<size_t>(first + i / D) * channels + i % D;
            asked[i] = widen(q[from]);
            grads[i] = widen(grad[from]);
        }
        if (threadIdx.x < count) {
            const uint32_t query = first + threadIdx.x;
            const size_t from = static_cast<size_t>(query) * channels;
            float delta = 0;
#pragma unroll 1
            for (unsigned i = 0; i < D; i++)
                delta = fmaf(widen(y[from + i]), widen(grad[from + i]), delta);
            deltas[threadIdx.x] = delta;
            heights[threadIdx.x] = seen[query];
        }
        __syncthreads();
#pragma unroll 1
        for (uint32_t j = 0; j < count; j++) {
            const float score = dot(mine, asked + j * D) * (size.scale * LOG2_E);
            const float p = inside ? fast_exp2(score - heights[j]) : 0.0f;
            const float ds = p * (dot(value, grads + j * D) - deltas[j]) * size.scale;
            add(dk, ds, asked + j * D);
            add(dv, p, grads + j * D);
            float dq[D];
#pragma unroll
            for (unsigned i = 0; i < D; i++) dq[i] = ds * mine[i];
            const float of_query = spread_sums(dq);
            if (lane < D) sums[(warp * SHORT + j) * D + lane] = of_query;
        }
        __syncthreads();
#pragma unroll 1
        for (uint32_t i = threadIdx.x; i < count * D; i += THREADS) {
            float sum = 0;
#pragma unroll
            for (unsigned w = 0; w < WARPS; w++) sum += sums[w * SHORT * D + i];
            parts[static_cast<size_t>(first + i / D) * channels + i % D] = sum;
        }
    }
    if (!inside) return;
    store(dkv + at, dk, 1.0f);
    store(dkv + static_cast<size_t>(images) * size.keys * channels + at, dv, 1.0f);
}

} // namespace

#define CROSS_ATTENTION_BACKWARD(D, GROUP, T)                                                      \
    KERNEL(cross_few_keys_backward_##D##_##T, 256, const T *q, const T *k, const T *v, const T *y, \
           const T *grad, const float *seen, T *dq, float *parts, SIZES, uint32_t images) {    \
        few_keys_backward<D>(q, k, v, y, grad, seen, dq, parts, GIVEN, images);                    \
    }                                                                                          \
    KERNEL(cross_few_queries_backward_##D##_##T, 256, const T *q, const T *k, const T *v,          \
           const T *y, const T *grad, const float *seen, T *dkv, float *parts, SIZES,          \
           uint32_t images) {                                                                  \
        few_queries_backward<D>(q, k, v, y, grad, seen, dkv, parts, GIVEN, images);                \
    }

ALL_HEADS(CROSS_ATTENTION_BACKWARD)
