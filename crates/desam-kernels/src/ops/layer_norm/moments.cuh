// Mean and reciprocal standard deviation of a row that a warp holds in registers.
#pragma once
#include "wide.cuh"

struct Moments {
    float mean, scale;
};

// Lane l holds the elements from 4 · (32 · s + l) on in x[s], zeros beyond the row's end.
template <unsigned STEPS>
DEVICE Moments moments(const Four (&x)[STEPS], uint32_t width, uint32_t lane, float eps) {
    float sum = 0, squares = 0;
#pragma unroll
    for (unsigned s = 0; s < STEPS; s++)
        sum += (x[s].v[0] + x[s].v[1]) + (x[s].v[2] + x[s].v[3]);
    const float mean = warp_sum(sum) / width;
#pragma unroll
    for (unsigned s = 0; s < STEPS; s++) {
#pragma unroll
        for (unsigned i = 0; i < 4; i++) {
            const float d = x[s].v[i] - mean;
            if ((s * WARP + lane) * 4 + i < width) squares += d * d;
        }
    }
    return {mean, 1.0f / sqrtf(warp_sum(squares) / width + eps)};
}
