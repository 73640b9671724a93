// float16 and bfloat16 as storage: all 65,536 bit patterns there, and back with one rounding.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "ndloss/half.hpp"

using ndloss::BFloat16;
using ndloss::Float16;
using ndloss::to_bfloat16;
using ndloss::to_float;
using ndloss::to_float16;

namespace {

constexpr unsigned patterns = 1U << 16;

/// What IEEE 754 says a binary16 number is.
double float16_by_definition(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  const double sign = (bits >> 15) != 0 ? -1 : 1;
  if (exponent == 31) {
    return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  }
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

}  // namespace

TEST_CASE("every float16 is read as IEEE 754 defines it, and written back as it was") {
  int wrong = 0;
  for (unsigned b = 0; b < patterns; ++b) {
    const auto bits = static_cast<std::uint16_t>(b);
    const double want = float16_by_definition(bits);
    const float got = to_float(Float16{bits});
    if (std::isnan(want)) {
      const std::uint16_t back = to_float16(got).bits;
      wrong += static_cast<int>(!std::isnan(got) || (back & 0x7c00) != 0x7c00 || (back & 0x3ff) == 0);
    } else {
      wrong += static_cast<int>(static_cast<double>(got) != want || std::signbit(got) != std::signbit(want) ||
                                to_float16(got).bits != bits);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("between two float16 the nearer is taken, and the even one in the middle") {
  int wrong = 0;
  for (std::uint16_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = to_float(Float16{bits});
    const float high = to_float(Float16{static_cast<std::uint16_t>(bits + 1)});
    const float middle = 0.5F * (low + high);  // exact in float
    const std::uint16_t even = (bits & 1) != 0 ? static_cast<std::uint16_t>(bits + 1) : bits;
    wrong += static_cast<int>(to_float16(middle).bits != even);
    wrong += static_cast<int>(to_float16(std::nextafter(middle, low)).bits != bits);
    wrong += static_cast<int>(to_float16(std::nextafter(middle, high)).bits != bits + 1);
    wrong += static_cast<int>(to_float16(-middle).bits != (even | 0x8000));
  }
  CHECK(wrong == 0);
}

TEST_CASE("beyond the largest float16 is infinity") {
  CHECK(to_float16(65504.0F).bits == 0x7bff);
  CHECK(to_float16(std::nextafter(65520.0F, 0.0F)).bits == 0x7bff);
  CHECK(to_float16(65520.0F).bits == 0x7c00);
  CHECK(to_float16(-1e30F).bits == 0xfc00);
  CHECK(to_float16(std::numeric_limits<float>::denorm_min()).bits == 0);
}

TEST_CASE("every bfloat16 is the upper half of a float, and comes back") {
  int wrong = 0;
  for (unsigned b = 0; b < patterns; ++b) {
    const auto bits = static_cast<std::uint16_t>(b);
    const float got = to_float(BFloat16{bits});
    if (std::isnan(got)) {
      wrong += static_cast<int>(!std::isnan(to_float(to_bfloat16(got))));
    } else {
      wrong += static_cast<int>(ndloss::math::bits(got) != static_cast<std::int32_t>(b << 16) || to_bfloat16(got).bits != bits);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("between two bfloat16 the nearer is taken, and the even one in the middle") {
  int wrong = 0;
  for (std::uint16_t bits = 0; bits < 0x7f7f; ++bits) {
    const auto lower = static_cast<std::int32_t>(static_cast<std::uint32_t>(bits) << 16);
    const std::uint16_t even = (bits & 1) != 0 ? static_cast<std::uint16_t>(bits + 1) : bits;
    wrong += static_cast<int>(to_bfloat16(ndloss::math::from_bits<float>(lower | 0x8000)).bits != even);
    wrong += static_cast<int>(to_bfloat16(ndloss::math::from_bits<float>(lower | 0x7fff)).bits != bits);
    wrong += static_cast<int>(to_bfloat16(ndloss::math::from_bits<float>(lower | 0x8001)).bits != bits + 1);
  }
  CHECK(wrong == 0);
  CHECK(to_bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);
}
