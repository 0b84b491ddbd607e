// Shared by the attention kernels: sizes, and vectors of one head, in registers or in shared memory.
//
// Heads are read in place: q [N, Q, C], k and v [N, K, C], C = heads · D, D channels per head.
// Scores are kept in units of log 2, so that exponentials are powers of two.
#pragma once
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

} // namespace

// Parameters of every kernel here, after its own pointers.
#define SIZES uint32_t queries, uint32_t keys, uint32_t heads, float scale
#define GIVEN Sizes{queries, keys, heads, scale}

// `each(D, GROUP, T)` for heads of all sizes; GROUP is how many queries a block of `few_queries` takes.
#define HEADS(each, T) \
    each(4, 8, T)      \
    each(8, 8, T)      \
    each(16, 8, T)     \
    each(32, 4, T)
#define ALL_HEADS(each) \
    HEADS(each, f32)    \
    HEADS(each, bf16)   \
    HEADS(each, f16)
