/// Packing: elements of any stored type, order and stride to contiguous numbers of the compute type, and back.
///
/// A block at a time, so that the packed copy stays in L1. Results are exact or rounded once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels_transpose.hpp"
#include "ndloss/dtype.hpp"
#include "ndloss/inline.hpp"
#include "pack_table.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

template <class S, bool swapped>
NDLOSS_INLINE S load(const char* from) {
  S value;
  if constexpr (swapped && sizeof(S) == 2) {
    std::uint16_t bits;
    std::memcpy(&bits, from, 2);
    bits = __builtin_bswap16(bits);
    std::memcpy(&value, &bits, 2);
  } else if constexpr (swapped && sizeof(S) == 4) {
    std::uint32_t bits;
    std::memcpy(&bits, from, 4);
    bits = __builtin_bswap32(bits);
    std::memcpy(&value, &bits, 4);
  } else if constexpr (swapped && sizeof(S) == 8) {
    std::uint64_t bits;
    std::memcpy(&bits, from, 8);
    bits = __builtin_bswap64(bits);
    std::memcpy(&value, &bits, 8);
  } else {
    std::memcpy(&value, from, sizeof(S));
  }
  return value;
}

template <class S>
struct Numbers {
  float of[256];
};

template <class S>
consteval Numbers<S> numbers_of_codes() {
  Numbers<S> numbers{};
  for (int code = 0; code < 256; ++code) {
    numbers.of[code] = S::value_of(code);
  }
  return numbers;
}

/// Every number of an 8-bit format by its code.
template <class S>
constexpr Numbers<S> numbers = numbers_of_codes<S>();

template <class T, class S>
NDLOSS_INLINE T convert(S value) {
  if constexpr (std::is_same_v<S, Float16> || std::is_same_v<S, BFloat16>) {
    return static_cast<T>(to_float(value));
  } else if constexpr (requires { S::value_of(0); }) {
    return static_cast<T>(numbers<S>.of[value.bits]);
  } else {
    return static_cast<T>(value);
  }
}

/// A bool array may hold any byte; what is not 0 is true.
struct Truth {
  std::uint8_t byte;
  NDLOSS_INLINE explicit operator float() const { return byte != 0 ? 1.0F : 0.0F; }
  NDLOSS_INLINE explicit operator double() const { return byte != 0 ? 1.0 : 0.0; }
  NDLOSS_INLINE explicit operator std::int64_t() const { return byte != 0 ? 1 : 0; }
};

/// `count` adjacent elements.
template <class S, bool swapped, class T>
NDLOSS_INLINE void pack_adjacent(const char* from, std::ptrdiff_t count, T* to) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    to[i] = convert<T>(load<S, swapped>(from + i * static_cast<std::ptrdiff_t>(sizeof(S))));
  }
}

/// The same, asking memory for the next block: it comes while the passes behind work on the copy of this one.
template <class S, bool swapped, class T>
void pack_stream(const char* from, std::ptrdiff_t count, T* to) {
  constexpr auto size = static_cast<std::ptrdiff_t>(sizeof(S));
  constexpr std::ptrdiff_t group = 64;
  constexpr std::ptrdiff_t ahead = packed_ahead * size;
  std::ptrdiff_t i = 0;
  for (; i + group <= count; i += group) {
    for (std::ptrdiff_t line = 0; line < group * size; line += 64) {
      __builtin_prefetch(from + i * size + ahead + line);
    }
    pack_adjacent<S, swapped>(from + i * size, group, to + i);
  }
  pack_adjacent<S, swapped>(from + i * size, count - i, to + i);
}

template <class S, bool swapped, class T>
void pack(const char* from, std::ptrdiff_t stride, std::ptrdiff_t count, T* to, std::ptrdiff_t to_stride) {
  if (stride == sizeof(S) && to_stride == 1) {
    pack_stream<S, swapped>(from, count, to);
  } else if (stride == 0 && to_stride == 1) {
    const T value = convert<T>(load<S, swapped>(from));
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      to[i] = value;
    }
  } else {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      to[i * to_stride] = convert<T>(load<S, swapped>(from + i * stride));
    }
  }
}

NDLOSS_INLINE float to_odd_float(float x) { return x; }

/// Rounded to odd, so that a further rounding to fewer digits is the rounding of x itself: S. Boldo and G. Melquiond, Emulation
/// of FMA and correctly rounded sums (2008), theorem 3.
NDLOSS_INLINE float to_odd_float(double x) {
  const float nearest = static_cast<float>(x);
  const double back = static_cast<double>(nearest);
  const std::int32_t beyond = math::abs(back) > math::abs(x) ? 1 : 0;
  const std::int32_t inexact = back != x ? 1 : 0;
  return math::from_bits<float>((math::bits(nearest) - beyond) | inexact);
}

template <class T, class D>
void unpack(const T* from, std::ptrdiff_t count, void* to) {
  D* out = static_cast<D*>(to);
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<D, Float16>) {
      out[i] = to_float16(to_odd_float(from[i]));
    } else if constexpr (std::is_same_v<D, BFloat16>) {
      out[i] = to_bfloat16(to_odd_float(from[i]));
    } else {
      out[i] = static_cast<D>(from[i]);
    }
  }
}

template <class T, class S>
constexpr void enter(PackTable<T>& table, DType dtype) {
  table.pack[static_cast<int>(dtype)][0] = pack<S, false, T>;
  table.pack[static_cast<int>(dtype)][1] = pack<S, (sizeof(S) > 1), T>;
}

template <class T>
constexpr PackTable<T> pack_table_of() {
  PackTable<T> table{};
  if constexpr (!std::is_same_v<T, std::int64_t>) {
    table.transpose = transpose<T>;
    table.transpose_back = transpose_back<T>;
    enter<T, float>(table, DType::float32);
    enter<T, double>(table, DType::float64);
    enter<T, Float16>(table, DType::float16);
    enter<T, BFloat16>(table, DType::bfloat16);
    enter<T, Float8E3M4>(table, DType::float8_e3m4);
    enter<T, Float8E4M3>(table, DType::float8_e4m3);
    enter<T, Float8E4M3B11FNUZ>(table, DType::float8_e4m3b11fnuz);
    enter<T, Float8E4M3FN>(table, DType::float8_e4m3fn);
    enter<T, Float8E4M3FNUZ>(table, DType::float8_e4m3fnuz);
    enter<T, Float8E5M2>(table, DType::float8_e5m2);
    enter<T, Float8E5M2FNUZ>(table, DType::float8_e5m2fnuz);
    enter<T, Float8E8M0FNU>(table, DType::float8_e8m0fnu);
    table.unpack[static_cast<int>(DType::float32)] = unpack<T, float>;
    table.unpack[static_cast<int>(DType::float64)] = unpack<T, double>;
    table.unpack[static_cast<int>(DType::float16)] = unpack<T, Float16>;
    table.unpack[static_cast<int>(DType::bfloat16)] = unpack<T, BFloat16>;
  }
  enter<T, Truth>(table, DType::boolean);
  enter<T, std::int8_t>(table, DType::int8);
  enter<T, std::int16_t>(table, DType::int16);
  enter<T, std::int32_t>(table, DType::int32);
  enter<T, std::int64_t>(table, DType::int64);
  enter<T, std::uint8_t>(table, DType::uint8);
  enter<T, std::uint16_t>(table, DType::uint16);
  enter<T, std::uint32_t>(table, DType::uint32);
  enter<T, std::uint64_t>(table, DType::uint64);
  return table;
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA
