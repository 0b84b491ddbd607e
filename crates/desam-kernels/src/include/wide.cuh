// Vectorized access: four adjacent elements of any type, as f32, in one load or store if aligned.
#pragma once
#include "device.cuh"

struct Four {
    float v[4];
};

// Whether rows of `width` elements from `p` on can be accessed four at a time.
template <class T> DEVICE bool in_fours(const T *p, uint32_t width) {
    return width % 4 == 0 && reinterpret_cast<uintptr_t>(p) % (4 * sizeof(T)) == 0;
}

#ifdef __CUDACC__
template <class V, class T> DEVICE V load_as(const T *p) { return *reinterpret_cast<const V *>(p); }
template <class V, class T> DEVICE void store_as(T *p, V v) { *reinterpret_cast<V *>(p) = v; }
#else
template <class V, class T> V load_as(const T *p) {
    if (reinterpret_cast<uintptr_t>(p) % sizeof(V)) ::emulation::fail("a load is not aligned");
    V v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class V, class T> void store_as(T *p, V v) {
    if (reinterpret_cast<uintptr_t>(p) % sizeof(V)) ::emulation::fail("a store is not aligned");
    std::memcpy(p, &v, sizeof v);
}
#endif

// Vector load; `p` is aligned to four elements.
template <class T> DEVICE Four load_four(const T *p) {
    const uint2 pairs = load_as<uint2>(p);
    const float2 low = widen_pair<T>(pairs.x), high = widen_pair<T>(pairs.y);
    return {{low.x, low.y, high.x, high.y}};
}
template <> DEVICE Four load_four<float>(const float *p) {
    const float4 all = load_as<float4>(p);
    return {{all.x, all.y, all.z, all.w}};
}

template <class T> DEVICE void store_four(T *p, const Four &x) {
    store_as<uint2>(p, make_uint2(narrow_pair<T>(x.v[0], x.v[1]), narrow_pair<T>(x.v[2], x.v[3])));
}
template <> DEVICE void store_four<float>(float *p, const Four &x) {
    store_as<float4>(p, make_float4(x.v[0], x.v[1], x.v[2], x.v[3]));
}

// Loads the first `count` of four elements, zero-filled. With `whole`, which says that `in_fours`
// holds, all four exist or none, and one vector load suffices.
template <class T> DEVICE Four load_some(const T *p, uint32_t count, bool whole) {
    Four x = {{0.0f, 0.0f, 0.0f, 0.0f}};
    if (whole) {
        if (count > 0) x = load_four(p);
        return x;
    }
#pragma unroll
    for (uint32_t i = 0; i < 4; i++)
        if (i < count) x.v[i] = widen(p[i]);
    return x;
}

template <class T> DEVICE void store_some(T *p, const Four &x, uint32_t count, bool whole) {
    if (whole) {
        if (count > 0) store_four(p, x);
        return;
    }
#pragma unroll
    for (uint32_t i = 0; i < 4; i++)
        if (i < count) p[i] = narrow<T>(x.v[i]);
}

// Number of elements of a row from `column` on.
DEVICE uint32_t left(uint32_t width, uint32_t column) { return column < width ? width - column : 0; }
