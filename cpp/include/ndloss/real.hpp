/// What the functions of math.hpp need to know of a floating type. The coefficients are made by `cpp/tools/coefficients.py`.
#pragma once

#include <cstdint>

namespace ndloss::math {

/// Its bits, its reductions, its polynomials.
template <class V>
struct Real;

template <>
struct Real<float> {
  using Int = std::int32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr float round_magic = 0x1.8p23F;
  static constexpr float log2e = 0x1.715476p0F;
  static constexpr float ln2_hi = 0x1.62e4p-1F;  // 14 bits: exact times any exponent
  static constexpr float ln2_lo = 0x1.7f7d1cp-20F;
  static constexpr float exp_floor = -104.0F;     // e^-104 rounds to zero
  static constexpr float raised_floor = -131.0F;  // the least with a normal 2^exp_bias e^x
  static constexpr float exp_ceiling = 89.0F;     // e^89 is beyond the largest float
  static constexpr int exp_bias = 64;             // keeps 2^(k + bias) normal for every k of a non-positive argument
  static constexpr float unbias = 0x1p-64F;
  static constexpr float exp_tail[] = {0x1.fffffcp-2F, 0x1.555492p-3F, 0x1.5558f2p-5F, 0x1.1239e2p-7F, 0x1.6a2430p-10F};
  static constexpr float log_tail[] = {0x1.5555a2p-2F, -0x1.000082p-2F, 0x1.996ae4p-3F, -0x1.54dd28p-3F,
                                       0x1.284c6ep-3F, -0x1.0e1132p-3F, 0x1.b1781cp-4F, -0x1.7a33d0p-5F};
};

template <>
struct Real<double> {
  using Int = std::int64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr double round_magic = 0x1.8p52;
  static constexpr double log2e = 0x1.71547652b82fep0;
  static constexpr double ln2_hi = 0x1.62e42feep-1;  // 32 bits: exact times any exponent
  static constexpr double ln2_lo = 0x1.a39ef35793c76p-33;
  static constexpr double exp_floor = -746.0;
  static constexpr double raised_floor = -1063.0;
  static constexpr double exp_ceiling = 710.0;
  static constexpr int exp_bias = 512;
  static constexpr double unbias = 0x1p-512;
  static constexpr double exp_tail[] = {
      0x1.000000000000ap-1,  0x1.55555555554fap-3,  0x1.555555555087dp-5,  0x1.1111111127bf3p-7,  0x1.6c16c18429f3fp-10,
      0x1.a01a012a5264ap-13, 0x1.a0199a0cad68ap-16, 0x1.71df255ef2651p-19, 0x1.28ad7293dd837p-22, 0x1.ad7f59f7dfc9cp-26};
  static constexpr double log_tail[] = {
      0x1.555555555558dp-2,  -0x1.00000000007d6p-2, 0x1.999999998fe0ap-3,  -0x1.5555555451eb3p-3, 0x1.24924927d926fp-3,
      -0x1.00000063fd57fp-3, 0x1.c71c719377f42p-4,  -0x1.999973d96f2fap-4, 0x1.745cd7ad994d5p-4,  -0x1.5558fda9874e4p-4,
      0x1.3b201e0ca5353p-4,  -0x1.246ad0d11c558p-4, 0x1.10195ccea4637p-4,  -0x1.ff90a6f6a7623p-5, 0x1.f1be52ed58861p-5,
      -0x1.ea121419d3d0bp-5, 0x1.a3a30983ccd55p-5,  -0x1.eb49b0be3c500p-6, 0x1.110fe26974a4ep-7};
};

}  // namespace ndloss::math
