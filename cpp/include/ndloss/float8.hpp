/// Numbers of eight bits as storage: formats by their widths, bias and special codes. They are read, never written.
///
/// Source: P. Micikevicius et al., FP8 Formats for Deep Learning, arXiv:2209.05433 (e4m3fn, e5m2); B. Noune et al., 8-bit
/// Numerical Formats for Deep Neural Networks, arXiv:2206.02915 (fnuz); the OCP Microscaling Formats specification 1.0
/// (e8m0fnu). Names are those of the Python package ml_dtypes.
#pragma once

#include <cstdint>
#include <limits>

namespace ndloss {

/// Which codes are no numbers.
enum class Float8Special : std::uint8_t {
  ieee,      ///< The largest exponent is infinity and NaN.
  fn,        ///< No infinity; the largest code of each sign is NaN.
  fnuz,      ///< No infinity and no -0, whose code is NaN.
  exponent,  ///< A power of 2 without sign; the largest code is NaN.
};

template <int exponent_bits, int mantissa_bits, int bias, Float8Special special>
struct Float8 {
  std::uint8_t bits;

  /// Exact: every such number is a float.
  [[nodiscard]] static constexpr float value_of(int code) {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    if constexpr (special == Float8Special::exponent) {
      return code == 0xff ? nan : power_of_2(code - bias);
    } else {
      constexpr int largest = (1 << exponent_bits) - 1;
      const int exponent = (code >> mantissa_bits) & largest;
      const int mantissa = code & ((1 << mantissa_bits) - 1);
      const float sign = (code & 0x80) != 0 ? -1.0F : 1.0F;
      if (special == Float8Special::ieee && exponent == largest) {
        return mantissa != 0 ? nan : sign * std::numeric_limits<float>::infinity();
      }
      if ((special == Float8Special::fn && (code & 0x7f) == 0x7f) || (special == Float8Special::fnuz && code == 0x80)) {
        return nan;
      }
      const int significand = exponent != 0 ? mantissa + (1 << mantissa_bits) : mantissa;
      return sign * static_cast<float>(significand) * power_of_2((exponent != 0 ? exponent : 1) - bias - mantissa_bits);
    }
  }

 private:
  static constexpr float power_of_2(int exponent) {
    float power = 1;
    for (; exponent > 0; --exponent) {
      power *= 2;
    }
    for (; exponent < 0; ++exponent) {
      power /= 2;
    }
    return power;
  }
};

using Float8E3M4 = Float8<3, 4, 3, Float8Special::ieee>;
using Float8E4M3 = Float8<4, 3, 7, Float8Special::ieee>;
using Float8E4M3B11FNUZ = Float8<4, 3, 11, Float8Special::fnuz>;
using Float8E4M3FN = Float8<4, 3, 7, Float8Special::fn>;
using Float8E4M3FNUZ = Float8<4, 3, 8, Float8Special::fnuz>;
using Float8E5M2 = Float8<5, 2, 15, Float8Special::ieee>;
using Float8E5M2FNUZ = Float8<5, 2, 16, Float8Special::fnuz>;
using Float8E8M0FNU = Float8<8, 0, 127, Float8Special::exponent>;

}  // namespace ndloss
