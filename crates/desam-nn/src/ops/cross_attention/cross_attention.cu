// Attention between two sequences of which one is short: no score is ever written to memory.
//
// Heads are read where they lie: q [N, Q, C], k and v [N, K, C], C = heads · D, D numbers a head.
// Scores are kept in units of log 2, so that exponentials are powers of two. Forward, `seen`
// [N, heads, Q] gets each query's logarithm of its sum of powers, where a gradient will want it.
#include "spread.cuh"
#include "wide.cuh"

namespace {

constexpr float LOG2_E = 1.44269504f;
constexpr unsigned THREADS = 256, WARPS = THREADS / WARP;

struct Sizes {
    uint32_t queries, keys, heads;
    float scale;
};

template <unsigned D, class T> DEVICE void load(float (&x)[D], const T *p) {
    const bool whole = in_fours(p, 4);
#pragma unroll
    for (unsigned i = 0; i < D; i += 4) {
        const Four four = load_some(p + i, 4, whole);
#pragma unroll
        for (unsigned j = 0; j < 4; j++) x[i + j] = four.v[j];
    }
}

template <unsigned D, class T> DEVICE void store(T *p, const float (&x)[D], float by) {
    const bool whole = in_fours(p, 4);
#pragma unroll
    for (unsigned i = 0; i < D; i += 4)
        store_some(p + i, Four{{x[i] * by, x[i + 1] * by, x[i + 2] * by, x[i + 3] * by}}, 4, whole);
}

// a · b, b in shared memory, aligned to 16 bytes.
template <unsigned D> DEVICE float dot(const float (&a)[D], const float *b) {
    float sum = 0;
#pragma unroll
    for (unsigned i = 0; i < D; i += 4) {
        const Four four = load_four(b + i);
#pragma unroll
        for (unsigned j = 0; j < 4; j++) sum = fmaf(a[i + j], four.v[j], sum);
    }
    return sum;
}

// to += by · x, x in shared memory, aligned to 16 bytes.
template <unsigned D> DEVICE void add(float (&to)[D], float by, const float *x) {
#pragma unroll
    for (unsigned i = 0; i < D; i += 4) {
        const Four four = load_four(x + i);
#pragma unroll
        for (unsigned j = 0; j < 4; j++) to[i + j] = fmaf(by, four.v[j], to[i + j]);
    }
}

// ---- More queries than keys: a thread a query and head. Keys and values of an image pass through
// shared memory, `each` of them at a time, the heads of one 4 numbers apart so that lanes with
// different heads meet different banks.

// With `repeated` the queries of the one image that there are of them are those of all images.
template <unsigned D, class T>
DEVICE void few_keys(const T *q, const T *k, const T *v, T *y, float *seen, const Sizes &size,
                     uint32_t each, uint32_t repeated) {
    DYNAMIC_SHARED(float, shared);
    const uint32_t heads = size.heads, channels = heads * D, stride = heads * (D + 4);
    const uint32_t tiles = (size.queries * heads + THREADS - 1) / THREADS;
    const uint32_t image = blockIdx.x / tiles, unit = blockIdx.x % tiles * THREADS + threadIdx.x;
    const uint32_t query = unit / heads, head = unit % heads;
    const bool inside = query < size.queries;
    const size_t at = (static_cast<size_t>(image) * size.queries + query) * channels + head * D;
    float mine[D], sum[D];
#pragma unroll
    for (unsigned i = 0; i < D; i++) mine[i] = sum[i] = 0;
    if (inside) load(mine, q + (repeated ? static_cast<size_t>(unit) * D : at));
#pragma unroll
    for (unsigned i = 0; i < D; i++) mine[i] *= size.scale * LOG2_E;
    float top = -INFINITY, total = 0;
    const size_t begin = static_cast<size_t>(image) * size.keys * channels;
    for (uint32_t first = 0; first < size.keys; first += each) {
        const uint32_t count = min(each, size.keys - first);
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < count * channels; i += THREADS) {
            const uint32_t key = i / channels, c = i % channels;
            const size_t from = begin + static_cast<size_t>(first) * channels + i;
            const uint32_t to = key * stride + c / D * (D + 4) + c % D;
            shared[to] = widen(k[from]);
            shared[each * stride + to] = widen(v[from]);
        }
        __syncthreads();
        for (uint32_t key = 0; key < count; key++) {
            const float *kept = shared + key * stride + head * (D + 4);
            const float score = dot(mine, kept), higher = fmaxf(top, score);
            const float less = fast_exp2(top - higher), power = fast_exp2(score - higher);
            top = higher;
            total = total * less + power;
#pragma unroll
            for (unsigned i = 0; i < D; i++) sum[i] *= less;
            add(sum, power, kept + each * stride);
        }
    }
    if (!inside) return;
    store(y + at, sum, 1.0f / total);
    if (seen != nullptr)
        seen[(static_cast<size_t>(image) * heads + head) * size.queries + query] =
            top + log2f(total);
}

// ---- More keys than queries: a block GROUP queries of one head, a thread every 256th key. Each
// thread has running sums of its own for all queries, which are joined in the end.

template <unsigned D, unsigned GROUP, class T>
DEVICE void few_queries(const T *q, const T *k, const T *v, T *y, float *seen, const Sizes &size) {
    SHARED(float, asked, GROUP * D);
    SHARED(float, parts, WARPS * GROUP * D);
    SHARED(float, tops, WARPS * GROUP);
    SHARED(float, totals, WARPS * GROUP);
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const uint32_t groups = (size.queries + GROUP - 1) / GROUP, channels = size.heads * D;
    const uint32_t first = blockIdx.x % groups * GROUP;
    const uint32_t head = blockIdx.x / groups % size.heads;
    const uint32_t image = blockIdx.x / groups / size.heads;
    const size_t queries = (static_cast<size_t>(image) * size.queries + first) * channels + head * D;
    for (uint32_t i = threadIdx.x; i < GROUP * D; i += THREADS) {
        const bool inside = first + i / D < size.queries;
        const size_t from = queries + static_cast<size_t>(i / D) * channels + i % D;
        asked[i] = inside ? widen(q[from]) * (size.scale * LOG2_E) : 0.0f;
    }
    __syncthreads();
    float top[GROUP], total[GROUP], sum[GROUP][D];
#pragma unroll
    for (unsigned j = 0; j < GROUP; j++) {
        top[j] = -INFINITY;
        total[j] = 0;
#pragma unroll
        for (unsigned i = 0; i < D; i++) sum[j][i] = 0;
    }
    const size_t begin = static_cast<size_t>(image) * size.keys * channels + head * D;
    for (uint32_t start = 0; start < size.keys; start += THREADS) {
        // What was asked is to stay in shared memory: in registers there is no room for it.
        __syncwarp();
        const uint32_t key = start + threadIdx.x;
        if (key >= size.keys) continue;
        float kept[D], value[D];
        const size_t from = begin + static_cast<size_t>(key) * channels;
        load(kept, k + from);
        load(value, v + from);
#pragma unroll
        for (unsigned j = 0; j < GROUP; j++) {
            const float score = dot(kept, asked + j * D), higher = fmaxf(top[j], score);
            const float less = fast_exp2(top[j] - higher), power = fast_exp2(score - higher);
            top[j] = higher;
            total[j] = total[j] * less + power;
#pragma unroll
            for (unsigned i = 0; i < D; i++)
                sum[j][i] = fmaf(power, value[i], sum[j][i] * less);
        }
    }
#pragma unroll
    for (unsigned j = 0; j < GROUP; j++) {
        // A thread without keys adds nothing; a warp without any has no largest score either.
        const float highest = warp_max(top[j]);
        const float less = top[j] == -INFINITY ? 0.0f : fast_exp2(top[j] - highest);
        const float all = warp_sum(total[j] * less);
#pragma unroll
        for (unsigned i = 0; i < D; i++) sum[j][i] *= less;
        const float part = spread_sums(sum[j]);
        if (lane < D) parts[(warp * GROUP + j) * D + lane] = part;
        if (lane == 0) {
            tops[warp * GROUP + j] = highest;
            totals[warp * GROUP + j] = all;
        }
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < GROUP * D; i += THREADS) {
        const uint32_t j = i / D;
        if (first + j >= size.queries) continue;
        float highest = -INFINITY, all = 0, out = 0;
#pragma unroll
        for (unsigned w = 0; w < WARPS; w++) highest = fmaxf(highest, tops[w * GROUP + j]);
#pragma unroll
        for (unsigned w = 0; w < WARPS; w++) {
            const float t = tops[w * GROUP + j];
            const float less = t == -INFINITY ? 0.0f : fast_exp2(t - highest);
            all += totals[w * GROUP + j] * less;
            out += parts[w * GROUP * D + i] * less;
        }
        y[queries + static_cast<size_t>(j) * channels + i % D] = narrow<T>(out / all);
        if (seen != nullptr && i % D == 0)
            seen[(static_cast<size_t>(image) * size.heads + head) * size.queries + first + j] =
                highest + log2f(all);
    }
}

// ---- Backwards. With p the weights, s the scores, δ = Σ y ∂y of a query:
// ∂s = p · (∂y · v - δ), ∂q = scale · Σ ∂s k, ∂k = scale · Σ ∂s q, ∂v = Σ p ∂y.
// The longer sequence is spread over threads, whose own gradients are sums over the shorter. The
// shorter one's gradients are sums over all threads: a block's part of them goes to `parts`.

constexpr unsigned SHORT = 16; // of the shorter sequence at once

// A block 256 queries of one head: dq; `parts` [blocks of an image and head, 2, N, K, C].
template <unsigned D, class T>
DEVICE void few_keys_back(const T *q, const T *k, const T *v, const T *y, const T *grad,
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

// A block 256 keys of one head: `dkv` [2, N, K, C], keys and values; `parts` [blocks of an image
// and head, N, Q, C].
template <unsigned D, class T>
DEVICE void few_queries_back(const T *q, const T *k, const T *v, const T *y, const T *grad,
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

#define SIZES uint32_t queries, uint32_t keys, uint32_t heads, float scale
#define GIVEN                        \
    Sizes { queries, keys, heads, scale }

#define CROSS_ATTENTION(D, GROUP, T)                                                           \
    KERNEL(cross_few_keys_##D##_##T, 256, const T *q, const T *k, const T *v, T *y, float *seen, \
           SIZES, uint32_t each, uint32_t repeated) {                                          \
        few_keys<D>(q, k, v, y, seen, GIVEN, each, repeated);                                  \
    }                                                                                          \
    KERNEL(cross_few_queries_##D##_##T, 256, const T *q, const T *k, const T *v, T *y,         \
           float *seen, SIZES) {                                                               \
        few_queries<D, GROUP>(q, k, v, y, seen, GIVEN);                                        \
    }                                                                                          \
    KERNEL(cross_few_keys_back_##D##_##T, 256, const T *q, const T *k, const T *v, const T *y, \
           const T *grad, const float *seen, T *dq, float *parts, SIZES, uint32_t images) {    \
        few_keys_back<D>(q, k, v, y, grad, seen, dq, parts, GIVEN, images);                    \
    }                                                                                          \
    KERNEL(cross_few_queries_back_##D##_##T, 256, const T *q, const T *k, const T *v,          \
           const T *y, const T *grad, const float *seen, T *dkv, float *parts, SIZES,          \
           uint32_t images) {                                                                  \
        few_queries_back<D>(q, k, v, y, grad, seen, dkv, parts, GIVEN, images);                \
    }
#define ALL(T)                \
    CROSS_ATTENTION(4, 8, T)  \
    CROSS_ATTENTION(8, 8, T)  \
    CROSS_ATTENTION(16, 8, T) \
    CROSS_ATTENTION(32, 4, T)

ALL(f32)
ALL(bf16)
ALL(f16)
