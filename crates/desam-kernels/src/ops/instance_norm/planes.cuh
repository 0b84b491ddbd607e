// Shared by kernels that reduce over planes (one channel of one image each).
//
// A plane is split into at most 32 parts, one thread block each, so that few planes fill a GPU too.
// A block writes the partial sums of its part; a consumer combines a plane's partial sums by a warp
// reduction, one part per lane, always in the same order: no atomics, and no extra launch. A thread
// reads runs of 8 elements by 16-byte vector loads. Kernels that reduce walk the planes from the
// last to the first, the others from the first to the last, so that a kernel starts with the data
// that the one before it has left in the cache.
#pragma once
#include "wide.cuh"

namespace planes {

constexpr uint32_t THREADS = 256, RUN = 8, RUNS = 2;
// Elements per step of a block.
constexpr uint32_t CHUNK = THREADS * RUN * RUNS;

// Partition of planes of `pixels` elements into `parts` of `chunks` each; the last may be shorter.
struct Cut {
    uint32_t pixels, parts, chunks;
};

// Parameters of every kernel here, after its own.
#define CUT uint32_t pixels, uint32_t parts, uint32_t chunks
#define THE_CUT ::planes::Cut{pixels, parts, chunks}

// The work of a block: elements `first .. end` of a plane that begins at element `begin`.
struct Place {
    size_t plane, begin;
    uint32_t part, first, end;
};

template <bool upwards> DEVICE Place place(const Cut &cut) {
    const uint32_t block = upwards ? blockIdx.x : gridDim.x - 1 - blockIdx.x;
    const uint32_t plane = block / cut.parts, part = block - plane * cut.parts;
    const uint32_t first = part * cut.chunks * CHUNK;
    const uint32_t end = min(first + cut.chunks * CHUNK, cut.pixels);
    return {plane, static_cast<size_t>(plane) * cut.pixels, part, first, end};
}

// The first element of this thread's run `run` of the chunk at `chunk`.
DEVICE uint32_t run_at(uint32_t chunk, uint32_t run) {
    return chunk + (run * THREADS + threadIdx.x) * RUN;
}

// Whether runs of all planes at `p` can be loaded 16 bytes at a time.
template <class... P> DEVICE bool aligned(const Cut &cut, const P *...p) {
    return cut.pixels % RUN == 0 && ((reinterpret_cast<uintptr_t>(p) | ...) % 16) == 0;
}

DEVICE void unpack(uint4 from, const float *, float (&to)[RUN]) {
    to[0] = __uint_as_float(from.x), to[1] = __uint_as_float(from.y);
    to[2] = __uint_as_float(from.z), to[3] = __uint_as_float(from.w);
}
template <class T> DEVICE void unpack(uint4 from, const T *, float (&to)[RUN]) {
    const uint32_t pairs[4] = {from.x, from.y, from.z, from.w};
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
        const float2 two = widen_pair<T>(pairs[i]);
        to[2 * i] = two.x, to[2 * i + 1] = two.y;
    }
}

// The run at `at` of a plane, zeros from `end` on.
template <class T>
DEVICE void load(const T *plane, uint32_t at, uint32_t end, bool wide, float (&to)[RUN]) {
    if (wide && at < end) {
        unpack(load_as<uint4>(plane + at), plane, to);
        if constexpr (sizeof(T) == 4) {
            float rest[RUN];
            unpack(load_as<uint4>(plane + at + RUN / 2), plane, rest);
#pragma unroll
            for (uint32_t i = 0; i < RUN / 2; i++) to[RUN / 2 + i] = rest[i];
        }
        return;
    }
#pragma unroll
    for (uint32_t i = 0; i < RUN; i++) to[i] = at + i < end ? widen(plane[at + i]) : 0.0f;
}

DEVICE void store_wide(float *to, const float (&from)[RUN]) {
    store_as<float4>(to, make_float4(from[0], from[1], from[2], from[3]));
    store_as<float4>(to + RUN / 2, make_float4(from[4], from[5], from[6], from[7]));
}
template <class T> DEVICE void store_wide(T *to, const float (&from)[RUN]) {
    uint32_t pairs[4];
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) pairs[i] = narrow_pair<T>(from[2 * i], from[2 * i + 1]);
    store_as<uint4>(to, make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]));
}

template <class T>
DEVICE void store(T *plane, uint32_t at, uint32_t end, bool wide, const float (&from)[RUN]) {
    if (wide) {
        if (at < end) store_wide(plane + at, from);
        return;
    }
#pragma unroll
    for (uint32_t i = 0; i < RUN; i++)
        if (at + i < end) plane[at + i] = narrow<T>(from[i]);
}

// Each of `x` summed over the block, the same in all threads. Two calls may follow each other.
template <uint32_t N> DEVICE void block_sums(float (&x)[N]) {
    constexpr uint32_t WARPS = THREADS / WARP;
    SHARED(float, sums, N * WARPS);
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
#pragma unroll
    for (uint32_t i = 0; i < N; i++) x[i] = warp_sum(x[i]);
    __syncthreads();
    if (lane == 0)
        for (uint32_t i = 0; i < N; i++) sums[i * WARPS + warp] = x[i];
    __syncthreads();
#pragma unroll
    for (uint32_t i = 0; i < N; i++) x[i] = warp_sum(lane < WARPS ? sums[i * WARPS + lane] : 0.0f);
}

// The normalisation of a plane: `(x - mean) · scale`.
struct Moments {
    float mean, scale;
};

// From the parts' means and sums of squared deviations. All lanes of a warp must call it.
DEVICE Moments moments_of(const float2 *sums, size_t plane, const Cut &cut, float eps) {
    const uint32_t lane = threadIdx.x % WARP, part_len = cut.chunks * CHUNK;
    const bool mine = lane < cut.parts;
    const float2 part = mine ? sums[plane * cut.parts + lane] : make_float2(0.0f, 0.0f);
    const float count = mine ? min(part_len, cut.pixels - lane * part_len) : 0;
    const float mean = warp_sum(part.x * count) / cut.pixels, off = part.x - mean;
    const float spread = warp_sum(part.y + count * off * off);
    return {mean, 1.0f / sqrtf(spread / cut.pixels + eps)};
}

// The mean over a plane of its parts' first sum; `each` sums per part. All lanes of a warp must call it.
DEVICE float mean_of(const float *sums, size_t plane, const Cut &cut, uint32_t each) {
    const uint32_t lane = threadIdx.x % WARP;
    return warp_sum(lane < cut.parts ? sums[(plane * cut.parts + lane) * each] : 0.0f) / cut.pixels;
}

// LeakyReLU.
DEVICE float rectified(float x, float slope) { return x < 0.0f ? x * slope : x; }

// The input of a LeakyReLU, from its output; `steep` is the reciprocal of its slope.
DEVICE float unrectified(float y, float steep) { return y < 0.0f ? y * steep : y; }

// The input gradient of a LeakyReLU whose output is `y`.
DEVICE float before_rectifier(float y, float grad, float slope) {
    return y > 0.0f ? grad : grad * slope;
}

} // namespace planes
