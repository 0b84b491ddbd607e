// Layer norm over the last dimension, forward and backward: one warp per row.
//
// A row of up to 128 · STEPS elements is read once, four elements per lane and step, and stays in
// registers; all its loads are in flight at once. Longer rows are read again for each of the three
// passes (`_any`). Mean and variance are computed one after the other, in f32, as on the CPU.
#include "moments.cuh"

namespace {

// A row of x and the parameters.
template <class In> struct Row {
    const In *x;
    const float *weight;
    uint32_t width;
    float eps;
};

// Moments of a row in global memory, of any length.
template <class In> DEVICE Moments moments(const Row<In> &row, uint32_t lane) {
    float sum = 0, squares = 0;
    for (uint32_t i = lane; i < row.width; i += WARP) sum += widen(row.x[i]);
    const float mean = warp_sum(sum) / row.width;
    for (uint32_t i = lane; i < row.width; i += WARP) {
        const float d = widen(row.x[i]) - mean;
        squares += d * d;
    }
    return {mean, 1.0f / sqrtf(warp_sum(squares) / row.width + row.eps)};
}

template <class In, class Out, unsigned STEPS>
DEVICE void normalise(const Row<In> &row, const float *bias, Out *y, uint32_t lane) {
    const uint32_t width = row.width;
    const bool whole = in_fours(row.x, width) && in_fours(y, width) &&
                       in_fours(row.weight, width) && in_fours(bias, width);
    Four x[STEPS];
#pragma unroll
    for (unsigned s = 0; s < STEPS; s++) {
        const uint32_t c = (s * WARP + lane) * 4;
        x[s] = load_some(row.x + c, left(width, c), whole);
    }
    const Moments m = moments(x, width, lane, row.eps);
#pragma unroll
    for (unsigned s = 0; s < STEPS; s++) {
        const uint32_t c = (s * WARP + lane) * 4, count = left(width, c);
        const Four w = load_some(row.weight + c, count, whole);
        const Four b = load_some(bias + c, count, whole);
#pragma unroll
        for (unsigned i = 0; i < 4; i++)
            x[s].v[i] = (x[s].v[i] - m.mean) * m.scale * w.v[i] + b.v[i];
        store_some(y + c, x[s], count, whole);
    }
}

template <class In, class Out>
DEVICE void normalise_any(const Row<In> &row, const float *bias, Out *y, uint32_t lane) {
    const Moments m = moments(row, lane);
    for (uint32_t i = lane; i < row.width; i += WARP)
        y[i] = narrow<Out>((widen(row.x[i]) - m.mean) * m.scale * row.weight[i] + bias[i]);
}

// With n the normalised row and h = ∂y · weight: ∂x = scale · (h - mean(h) - n · mean(h · n)).
template <class In, class Out, unsigned STEPS>
DEVICE Moments gradient(const Row<In> &row, const Out *grad, In *dx, uint32_t lane) {
    const uint32_t width = row.width;
    const bool whole = in_fours(row.x, width) && in_fours(grad, width) && in_fours(dx, width) &&
                       in_fours(row.weight, width);
    Four x[STEPS], h[STEPS];
#pragma unroll
    for (unsigned s = 0; s < STEPS; s++) {
        const uint32_t c = (s * WARP + lane) * 4, count = left(width, c);
        x[s] = load_some(row.x + c, count, whole);
        h[s] = load_some(grad + c, count, whole);
    }
    const Moments m = moments(x, width, lane, row.eps);
    float sum = 0, along = 0;
#pragma unroll
    for (unsigned s = 0; s < STEPS; s++) {
        const uint32_t c = (s * WARP + lane) * 4;
        const Four w = load_some(row.weight + c, left(width, c), whole);
#pragma unroll
        for (unsigned i = 0; i < 4; i++) {
            h[s].v[i] *= w.v[i];
            x[s].v[i] = (x[s].v[i] - m.mean) * m.scale;
            // Zero beyond the row's end, as the gradient is there.
            sum += h[s].v[i];
            along += h[s].v[i] * x[s].v[i];
        }
    }
    sum = warp_sum(sum) / width;
    along = warp_sum(along) / width;
#pragma unroll
    for (unsigned s = 0; s < STEPS; s++) {
        const uint32_t c = (s * WARP + lane) * 4;
#pragma unroll
        for (unsigned i = 0; i < 4; i++)
            h[s].v[i] = m.scale * (h[s].v[i] - sum - x[s].v[i] * along);
        store_some(dx + c, h[s], left(width, c), whole);
    }
    return m;
}

template <class In, class Out>
DEVICE Moments gradient_any(const Row<In> &row, const Out *grad, In *dx, uint32_t lane) {
    const Moments m = moments(row, lane);
    float sum = 0, along = 0;
    for (uint32_t i = lane; i < row.width; i += WARP) {
        const float h = widen(grad[i]) * row.weight[i];
        sum += h;
        along += h * ((widen(row.x[i]) - m.mean) * m.scale);
    }
    sum = warp_sum(sum) / row.width;
    along = warp_sum(along) / row.width;
    for (uint32_t i = lane; i < row.width; i += WARP) {
        const float n = (widen(row.x[i]) - m.mean) * m.scale;
        dx[i] = narrow<In>(m.scale * (widen(grad[i]) * row.weight[i] - sum - n * along));
    }
    return m;
}

// Gradients of weight and bias: column sums of ∂y · n and of ∂y over a block's rows, `[2, width]`
// per block: 128 columns, every eighth row to each of the eight warps, four columns per lane.
template <class In, class Out>
DEVICE void sums(const In *x, const Out *grad, const float *seen, float *parts, uint32_t rows,
                 uint32_t width, uint32_t each) {
    constexpr unsigned COLUMNS = 4 * WARP, WARPS = 8;
    SHARED(float, shared, 2 * WARPS * COLUMNS);
    const uint32_t tiles = (width + COLUMNS - 1) / COLUMNS;
    const uint32_t part = blockIdx.x / tiles, first = blockIdx.x % tiles * COLUMNS;
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const uint32_t c = first + 4 * lane, count = left(width, c);
    const bool whole = in_fours(x, width) && in_fours(grad, width);
    const uint32_t end = min(rows, (part + 1) * each);
    float dw[4] = {0, 0, 0, 0}, db[4] = {0, 0, 0, 0};
#pragma unroll 4
    for (uint32_t row = part * each + warp; row < end; row += WARPS) {
        const size_t at = static_cast<size_t>(row) * width + c;
        const Four a = load_some(x + at, count, whole), g = load_some(grad + at, count, whole);
        const float mean = seen[2 * static_cast<size_t>(row)];
        const float scale = seen[2 * static_cast<size_t>(row) + 1];
#pragma unroll
        for (unsigned i = 0; i < 4; i++) {
            dw[i] += g.v[i] * ((a.v[i] - mean) * scale);
            db[i] += g.v[i];
        }
    }
#pragma unroll
    for (unsigned i = 0; i < 4; i++) {
        shared[warp * COLUMNS + 4 * lane + i] = dw[i];
        shared[(WARPS + warp) * COLUMNS + 4 * lane + i] = db[i];
    }
    __syncthreads();
    const uint32_t which = threadIdx.x / COLUMNS, column = threadIdx.x % COLUMNS;
    if (first + column >= width) return;
    float sum = 0;
#pragma unroll
    for (unsigned w = 0; w < WARPS; w++) sum += shared[(which * WARPS + w) * COLUMNS + column];
    parts[(static_cast<size_t>(part) * 2 + which) * width + first + column] = sum;
}

} // namespace

// The row of this warp; returns if there is none.
#define ROW                                                                       \
    const uint32_t row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;   \
    const uint32_t lane = threadIdx.x % WARP;                                     \
    if (row >= rows) return;                                                      \
    const size_t at = static_cast<size_t>(row) * width

#define FORWARD(In, Out, size, ...)                                                             \
    KERNEL(layer_norm_##size##_##In##_##Out, 256, const In *x, const float *weight,             \
           const float *bias, Out *y, uint32_t rows, uint32_t width, float eps) {               \
        ROW;                                                                                    \
        __VA_ARGS__(Row<In>{x + at, weight, width, eps}, bias, y + at, lane);                   \
    }

// `seen` gets mean and scale of each row.
#define BACKWARD(In, Out, size, ...)                                                            \
    KERNEL(layer_norm_backward_##size##_##In##_##Out, 256, const In *x, const Out *grad,            \
           const float *weight, In *dx, float *seen, uint32_t rows, uint32_t width, float eps) { \
        ROW;                                                                                    \
        const Row<In> mine = {x + at, weight, width, eps};                                      \
        const Moments m = __VA_ARGS__(mine, grad + at, dx + at, lane);                          \
        if (lane == 0) {                                                                        \
            seen[2 * static_cast<size_t>(row)] = m.mean;                                        \
            seen[2 * static_cast<size_t>(row) + 1] = m.scale;                                   \
        }                                                                                       \
    }

#define LAYER_NORM(In, Out)                                                                     \
    FORWARD(In, Out, 2, normalise<In, Out, 2>)                                                  \
    FORWARD(In, Out, 6, normalise<In, Out, 6>)                                                  \
    FORWARD(In, Out, 12, normalise<In, Out, 12>)                                                \
    FORWARD(In, Out, any, normalise_any<In, Out>)                                               \
    BACKWARD(In, Out, 2, gradient<In, Out, 2>)                                                  \
    BACKWARD(In, Out, 6, gradient<In, Out, 6>)                                                  \
    BACKWARD(In, Out, 12, gradient<In, Out, 12>)                                                \
    BACKWARD(In, Out, any, gradient_any<In, Out>)                                               \
    KERNEL(layer_norm_sums_##In##_##Out, 256, const In *x, const Out *grad, const float *seen,  \
           float *parts, uint32_t rows, uint32_t width, uint32_t each) {                        \
        sums(x, grad, seen, parts, rows, width, each);                                          \
    }

LAYER_NORM(f32, f32)
LAYER_NORM(f32, bf16)
LAYER_NORM(f32, f16)
LAYER_NORM(bf16, bf16)
LAYER_NORM(bf16, f32)
LAYER_NORM(f16, f16)
LAYER_NORM(f16, f32)
