// Several warp reductions at once (butterfly).
#pragma once
#include "device.cuh"

// A butterfly step: a lane keeps the half of its values that its bit selects, and sends the other.
template <unsigned HALF, unsigned N> DEVICE void keep_half(float (&x)[N], unsigned lane) {
    const bool upper = lane & HALF;
#pragma unroll
    for (unsigned i = 0; i < HALF; i++) {
        const float give = upper ? x[i] : x[i + HALF];
        const float keep = upper ? x[i + HALF] : x[i];
        x[i] = keep + __shfl_xor_sync(ALL_LANES, give, HALF);
    }
    if constexpr (HALF > 1) keep_half<HALF / 2>(x, lane);
}

// Sums of N values over the warp, N a power of two from 2 to 32: lane l gets the sum of value l %
// N. It takes N - 1 shuffles, and one for each doubling from N to 32, instead of five for each
// value. `x` is overwritten.
template <unsigned N> DEVICE float spread_sums(float (&x)[N]) {
    keep_half<N / 2>(x, threadIdx.x % WARP);
    float sum = x[0];
#pragma unroll
    for (unsigned step = N; step < WARP; step *= 2) sum += __shfl_xor_sync(ALL_LANES, sum, step);
    return sum;
}
