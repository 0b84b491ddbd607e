// Activations and their derivatives.
#pragma once
#include "device.cuh"

// The standard normal distribution at x: `below` is Φ(x), `bell` is exp(-x² / 2). The polynomial is
// that of the CPU (desam-nn's ops/vector/math.rs); the absolute error of Φ is below 3e-7.
struct Normal {
    float below, bell;
};
DEVICE Normal normal(float x) {
    const float bell = fast_exp2(x * x * -0.72134752f);
    const float t = __fdividef(1.0f, fmaf(fabsf(x), 0.3f, 1.0f));
    float p = 0.03513723f;
    p = fmaf(p, t, -0.15432538f);
    p = fmaf(p, t, 0.20020361f);
    p = fmaf(p, t, -0.04686037f);
    p = fmaf(p, t, 0.12432143f);
    p = fmaf(p, t, 0.10138434f);
    p = fmaf(p, t, 0.120491244f);
    p = fmaf(p, t, 0.1196479f);
    const float tail = p * t * bell;
    return {x > 0.0f ? 1.0f - tail : tail, bell};
}

struct Straight {
    DEVICE static float at(float x, float) { return x; }
    DEVICE static float derivative(float, float grad, float) { return grad; }
};

// The gradient is 0 for negative numbers and for zero, as in PyTorch; NaN stays.
struct Relu {
    DEVICE static float at(float x, float) { return x <= 0.0f ? 0.0f : x; }
    DEVICE static float derivative(float x, float grad, float) { return x <= 0.0f ? 0.0f : grad; }
};

struct LeakyRelu {
    DEVICE static float at(float x, float slope) { return x > 0.0f ? x : slope * x; }
    DEVICE static float derivative(float x, float grad, float slope) {
        return x > 0.0f ? grad : slope * grad;
    }
};

// x · Φ(x), with the exact error function.
struct Gelu {
    DEVICE static float at(float x, float) { return x * normal(x).below; }
    DEVICE static float derivative(float x, float grad, float) {
        const Normal n = normal(x);
        return grad * fmaf(x * 0.3989423f, n.bell, n.below);
    }
};
