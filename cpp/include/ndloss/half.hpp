/// float16 and bfloat16 as storage: their bits to float and back, branch-free, so that loops over them vectorize.
#pragma once

#include <cstdint>

#include "ndloss/inline.hpp"
#include "ndloss/math.hpp"

namespace ndloss {

struct Float16 {
  std::uint16_t bits;
};

struct BFloat16 {
  std::uint16_t bits;
};

/// Exact. Infinities and NaN are kept.
NDLOSS_INLINE float to_float(Float16 h) {
  const std::int32_t magnitude = (static_cast<std::int32_t>(h.bits) & 0x7fff) << 13;
  // 2^112 moves the exponent's bias, subnormals included; the largest exponent becomes the largest exponent.
  const float scaled = math::from_bits<float>(magnitude) * 0x1p112F;
  const float special = math::from_bits<float>(magnitude | 0x7f800000);
  const float value = magnitude >= (0x7c00 << 13) ? special : scaled;
  const std::int32_t sign = (static_cast<std::int32_t>(h.bits) & 0x8000) << 16;
  return math::from_bits<float>(math::bits(value) | sign);
}

NDLOSS_INLINE float to_float(BFloat16 h) {
  return math::from_bits<float>(static_cast<std::int32_t>(static_cast<std::uint32_t>(h.bits) << 16));
}

/// Rounds to nearest, ties to even; beyond 65504 (half a step further) is infinity; NaN is a quiet NaN.
NDLOSS_INLINE Float16 to_float16(float x) {
  const std::int32_t b = math::bits(x);
  const std::int32_t magnitude = b & 0x7fffffff;
  // Below 2^-14 half precision is fixed point: adding 1/2 leaves the rounded multiple of 2^-24 in the last bits.
  const std::int32_t subnormal = math::bits(math::from_bits<float>(magnitude) + 0.5F) - math::bits(0.5F);
  const std::int32_t odd = (magnitude >> 13) & 1;
  const std::int32_t normal = (magnitude - (112 << 23) + 0xfff + odd) >> 13;
  const std::int32_t finite = magnitude < (113 << 23) ? subnormal : normal;
  const std::int32_t large = magnitude > 0x7f800000 ? 0x7e00 : 0x7c00;
  const std::int32_t result = magnitude >= 0x47800000 ? large : finite;
  return {static_cast<std::uint16_t>(result | ((b >> 16) & 0x8000))};
}

NDLOSS_INLINE BFloat16 to_bfloat16(float x) {
  const std::uint32_t b = static_cast<std::uint32_t>(math::bits(x));
  const std::uint32_t rounded = (b + 0x7fffU + ((b >> 16) & 1U)) >> 16;
  const bool is_nan = (b & 0x7fffffffU) > 0x7f800000U;
  return {static_cast<std::uint16_t>(is_nan ? (b >> 16) | 0x40U : rounded)};
}

}  // namespace ndloss
