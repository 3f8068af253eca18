// Numbers of both types, and what rows have in common.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

struct bf16 {
    uint16_t bits;
};

inline float load(const float x) { return x; }
inline float load(const bf16 x) {
    const uint32_t wide = static_cast<uint32_t>(x.bits) << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
}

inline void store(float& at, const float value) { at = value; }
inline void store(bf16& at, const float value) {
    uint32_t wide;
    std::memcpy(&wide, &value, 4);
    const uint32_t nan = (wide & 0x7fffffffu) > 0x7f800000u;  // rounding could carry a NaN into infinity
    at.bits = nan ? 0x7fc0 : static_cast<uint16_t>((wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16);
}

// e^x to seven digits, as straight arithmetic that a compiler can vectorise (the library's has branches): 2^n times the
// series to degree 7 of the rest, which is at most ln(2) / 2. NaN stays NaN.
inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    const float n = std::rint(x * 1.44269504f);
    const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;  // ln(2) in two parts, so that no digit is lost
    const float series =
        1.0f +
        r * (1.0f +
             r * (0.5f +
                  r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r * (1.0f / 5040)))))));
    const uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23;
    float power;
    std::memcpy(&power, &bits, 4);
    return series * power;
}

template <typename T>
inline float scale_of(const T* x, const int64_t width, const float eps) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < width; ++d) {
        const float value = load(x[d]);
        sum += value * value;
    }
    return 1.0f / std::sqrt(sum / static_cast<float>(width) + eps);
}

}  // namespace
