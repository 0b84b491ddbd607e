// Multi-head cross-attention between two sequences of which one is short, forward, as flash attention:
// online softmax, no score is ever written to memory.
//
// `seen` [N, heads, Q] gets the log-sum-exp of each query's scores (base 2), for the backward pass.
#include "heads.cuh"

namespace {

// ---- More queries than keys: one thread per query and head. Keys and values of an image are staged
// in shared memory, `each` at a time. Heads are padded by 4 elements, so that lanes with different
// heads read different banks (no bank conflicts).

// With `repeated`, the queries of one image are shared by all images (broadcast).
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

// ---- More keys than queries: one block per GROUP queries of one head, every 256th key to each of
// its threads. A thread keeps private running sums for all queries, which a block reduction
// combines at the end.

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
        // The queries stay in shared memory: registers are not enough for them.
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
        // A thread without keys adds nothing; a warp without any has no maximum score either.
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

} // namespace

#define CROSS_ATTENTION(D, GROUP, T)                                                           \
    KERNEL(cross_few_keys_##D##_##T, 256, const T *q, const T *k, const T *v, T *y, float *seen, \
           SIZES, uint32_t each, uint32_t repeated) {                                          \
        few_keys<D>(q, k, v, y, seen, GIVEN, each, repeated);                                  \
    }                                                                                          \
    KERNEL(cross_few_queries_##D##_##T, 256, const T *q, const T *k, const T *v, T *y,         \
           float *seen, SIZES) {                                                               \
        few_queries<D, GROUP>(q, k, v, y, seen, GIVEN);                                        \
    }

ALL_HEADS(CROSS_ATTENTION)
