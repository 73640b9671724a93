/// How the elements of an array are stored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "ndloss/float8.hpp"
#include "ndloss/half.hpp"

namespace ndloss {

/// How an element is stored.
enum class DType : std::uint8_t {
  float32,
  float64,
  float16,
  bfloat16,
  float8_e3m4,
  float8_e4m3,
  float8_e4m3b11fnuz,
  float8_e4m3fn,
  float8_e4m3fnuz,
  float8_e5m2,
  float8_e5m2fnuz,
  float8_e8m0fnu,
  boolean,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
};

/// Bytes of one element.
constexpr std::ptrdiff_t item_size(DType dtype) {
  switch (dtype) {
    case DType::float8_e3m4:
    case DType::float8_e4m3:
    case DType::float8_e4m3b11fnuz:
    case DType::float8_e4m3fn:
    case DType::float8_e4m3fnuz:
    case DType::float8_e5m2:
    case DType::float8_e5m2fnuz:
    case DType::float8_e8m0fnu:
    case DType::boolean:
    case DType::int8:
    case DType::uint8:
      return 1;
    case DType::float16:
    case DType::bfloat16:
    case DType::int16:
    case DType::uint16:
      return 2;
    case DType::float32:
    case DType::int32:
    case DType::uint32:
      return 4;
    case DType::float64:
    case DType::int64:
    case DType::uint64:
      return 8;
  }
  return 0;
}

constexpr bool is_integer(DType dtype) { return dtype >= DType::boolean; }

/// The DType of a C++ type.
template <class T>
constexpr DType dtype_of() {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<U, float>) {
    return DType::float32;
  } else if constexpr (std::is_same_v<U, double>) {
    return DType::float64;
  } else if constexpr (std::is_same_v<U, Float16>) {
    return DType::float16;
  } else if constexpr (std::is_same_v<U, BFloat16>) {
    return DType::bfloat16;
  } else if constexpr (std::is_same_v<U, Float8E3M4>) {
    return DType::float8_e3m4;
  } else if constexpr (std::is_same_v<U, Float8E4M3>) {
    return DType::float8_e4m3;
  } else if constexpr (std::is_same_v<U, Float8E4M3B11FNUZ>) {
    return DType::float8_e4m3b11fnuz;
  } else if constexpr (std::is_same_v<U, Float8E4M3FN>) {
    return DType::float8_e4m3fn;
  } else if constexpr (std::is_same_v<U, Float8E4M3FNUZ>) {
    return DType::float8_e4m3fnuz;
  } else if constexpr (std::is_same_v<U, Float8E5M2>) {
    return DType::float8_e5m2;
  } else if constexpr (std::is_same_v<U, Float8E5M2FNUZ>) {
    return DType::float8_e5m2fnuz;
  } else if constexpr (std::is_same_v<U, Float8E8M0FNU>) {
    return DType::float8_e8m0fnu;
  } else if constexpr (std::is_same_v<U, bool>) {
    return DType::boolean;
  } else {
    static_assert(std::is_integral_v<U> && sizeof(U) <= 8, "ndloss reads floating-point numbers, integers and bool");
    constexpr DType with_sign[] = {DType::int8, DType::int16, DType::int32, DType::int64};
    constexpr DType without[] = {DType::uint8, DType::uint16, DType::uint32, DType::uint64};
    constexpr int width = sizeof(U) == 1 ? 0 : sizeof(U) == 2 ? 1 : sizeof(U) == 4 ? 2 : 3;
    return std::is_signed_v<U> ? with_sign[width] : without[width];
  }
}

}  // namespace ndloss
