/// Packing: elements of any stored type, order and stride to contiguous numbers of the compute type, and back.
///
/// A block at a time, so that the packed copy stays in L1. Results are exact or rounded once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#ifdef __F16C__
#include <immintrin.h>
#endif

#include "kernels_transpose.hpp"
#include "ndloss/dtype.hpp"
#include "ndloss/inline.hpp"
#include "ndloss/lanes.hpp"
#include "ndloss/prefetch.hpp"
#include "ndloss/streamed.hpp"
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

#ifdef __F16C__
/// Adjacent halves by the instruction for them: the formula of `to_float` is nine, more than a loss such as mse is itself.
NDLOSS_INLINE void pack_halves(const char* from, std::ptrdiff_t count, float* to) {
  std::ptrdiff_t i = 0;
#ifdef __AVX512F__
  for (; i + 16 <= count; i += 16) {
    _mm512_storeu_ps(to + i, _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 2 * i))));
  }
#else
  for (; i + 8 <= count; i += 8) {
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 2 * i))));
  }
#endif
  for (; i < count; ++i) {
    to[i] = to_float(load<Float16, false>(from + 2 * i));
  }
}
#endif

/// `count` elements, `step` elements apart.
template <class S, bool swapped, int step, class T>
NDLOSS_INLINE void pack_steps(const char* from, std::ptrdiff_t count, T* to) {
#ifdef __F16C__
  if constexpr (std::is_same_v<S, Float16> && std::is_same_v<T, float> && !swapped && step == 1) {
    pack_halves(from, count, to);
    return;
  }
#endif
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    to[i] = convert<T>(load<S, swapped>(from + i * step * static_cast<std::ptrdiff_t>(sizeof(S))));
  }
}

/// The same, asking memory for the next block: it comes while the passes behind work on the copy of this one.
template <class S, bool swapped, int step, class T>
NDLOSS_INLINE void pack_stream(const char* from, std::ptrdiff_t count, T* to) {
  constexpr std::ptrdiff_t size = step * static_cast<std::ptrdiff_t>(sizeof(S));
  constexpr std::ptrdiff_t group = 64;
  constexpr std::ptrdiff_t ahead = packed_ahead / step * size;
  std::ptrdiff_t i = 0;
  for (; i + group <= count; i += group) {
    const char* const next = from + i * size + ahead;
    prefetch(next, next + group * size);
    pack_steps<S, swapped, step>(from + i * size, group, to + i);
  }
  pack_steps<S, swapped, step>(from + i * size, count - i, to + i);
}

template <class S, bool swapped, class T>
void pack(const char* from, std::ptrdiff_t stride, std::ptrdiff_t count, T* to, std::ptrdiff_t to_stride) {
  if (stride == sizeof(S) && to_stride == 1) {
    pack_stream<S, swapped, 1>(from, count, to);
  } else if (std::is_same_v<S, T> && !swapped && stride == 2 * sizeof(S) && to_stride == 1) {
    pack_stream<S, swapped, std::is_same_v<S, T> ? 2 : 1>(from, count, to);
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

/// Where one line alone is left out between two rows, memory is asked for it too: it comes anyway, and a stream without gaps is
/// faster.
template <class S, class T>
void pack_rows(const char* from, std::ptrdiff_t row_stride, std::ptrdiff_t rows, std::ptrdiff_t columns, T* to) {
  constexpr auto size = static_cast<std::ptrdiff_t>(sizeof(S));
  const std::ptrdiff_t bytes = columns * size;
  const bool aligned = (reinterpret_cast<std::uintptr_t>(from) | static_cast<std::uintptr_t>(row_stride)) % 64 == 0;
  const std::ptrdiff_t touched = (bytes + 63) / 64 * 64 + (aligned ? 0 : 64);
  const std::ptrdiff_t span = !aligned && row_stride == touched + 64 ? row_stride : bytes;
  const std::ptrdiff_t ahead = (prefetch_bytes + span - 1) / span * row_stride;
  for (std::ptrdiff_t r = 0; r < rows; ++r) {
    const char* row = from + r * row_stride;
    prefetch(row + ahead, row + ahead + span);
    prefetch(row + ahead + span - 1);
    pack_steps<S, false, 1>(row, columns, to + r * columns);
  }
}

/// Rows of which each repeats one number.
template <class S, class T>
void repeat_rows(const char* from, std::ptrdiff_t row_stride, std::ptrdiff_t rows, std::ptrdiff_t columns, T* to) {
  for (std::ptrdiff_t r = 0; r < rows; ++r) {
    const T value = convert<T>(load<S, false>(from + r * row_stride));
#pragma omp simd
    for (std::ptrdiff_t c = 0; c < columns; ++c) {
      to[r * columns + c] = value;
    }
  }
}

/// Squares of columns whose elements stand side by side, turned in registers: down the rows a few columns at a time, so that
/// few streams are open at once and each line is used up while it is there.
template <class T>
void turn(const T* from, std::ptrdiff_t column_stride, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t ahead,
          T* to) {
  constexpr std::ptrdiff_t width = Vector<T>::width;
  if (rows < width || columns < width) {
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
      for (std::ptrdiff_t c = 0; c < columns; ++c) {
        to[r * columns + c] = from[c * column_stride + r];
      }
    }
    return;
  }
  for (std::ptrdiff_t left = 0; left < columns; left += width) {
    const std::ptrdiff_t c = left + width <= columns ? left : columns - width;  // the last square overlaps the one before
    for (std::ptrdiff_t top = 0; top < rows; top += width) {
      const std::ptrdiff_t r = top + width <= rows ? top : rows - width;
      typename Vector<T>::type line[width];
#pragma GCC unroll 8
      for (std::ptrdiff_t k = 0; k < width; ++k) {
        const T* at = from + (c + k) * column_stride + r;
        prefetch(at + ahead);
        std::memcpy(&line[k], at, sizeof line[k]);
      }
      transpose_square<T, static_cast<int>(width) / 2>(line);
#pragma GCC unroll 8
      for (std::ptrdiff_t k = 0; k < width; ++k) {
        std::memcpy(to + (r + k) * columns + c, &line[k], sizeof line[k]);
      }
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

template <class T>
void stream(const T* from, std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride, std::ptrdiff_t rows,
            std::ptrdiff_t columns) {
  for (std::ptrdiff_t r = 0; r < rows; ++r, from += from_stride, to += to_stride) {
    if (streaming_stores && place_in_line(from) == place_in_line(to)) {
      stream_numbers(from, to, columns);
    } else {
      std::memcpy(to, from, static_cast<std::size_t>(columns) * sizeof(T));
    }
  }
  end_stream();
}

template <class T, class S>
constexpr void enter(PackTable<T>& table, DType dtype) {
  table.pack[static_cast<int>(dtype)][0] = pack<S, false, T>;
  table.pack[static_cast<int>(dtype)][1] = pack<S, (sizeof(S) > 1), T>;
  if constexpr (!std::is_same_v<T, std::int64_t> && !requires { S::value_of(0); }) {
    table.pack_rows[static_cast<int>(dtype)] = pack_rows<S, T>;
    table.repeat_rows[static_cast<int>(dtype)] = repeat_rows<S, T>;
  }
}

template <class T>
constexpr PackTable<T> pack_table_of() {
  PackTable<T> table{};
  if constexpr (!std::is_same_v<T, std::int64_t>) {
    table.transpose = transpose<T>;
    table.transpose_back = transpose_back<T>;
    table.turn = turn<T>;
    table.stream = stream<T>;
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
