// Storing numbers where they belong.
#include "store.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace ndloss {
namespace {

/// Numbers that are converted at a time.
constexpr std::int64_t line_size = 256;

template <class Bits>
Bits turned(Bits bits) {
  if constexpr (sizeof(Bits) == 2) {
    return __builtin_bswap16(bits);
  } else if constexpr (sizeof(Bits) == 4) {
    return __builtin_bswap32(bits);
  } else {
    return __builtin_bswap64(bits);
  }
}

/// Elements side by side to places `stride` bytes apart.
template <class Bits, bool swapped>
void scatter_as(const char* from, std::int64_t count, char* to, std::int64_t stride) {
  for (std::int64_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, from + i * static_cast<std::int64_t>(sizeof bits), sizeof bits);
    if constexpr (swapped) {
      bits = turned(bits);
    }
    std::memcpy(to + i * stride, &bits, sizeof bits);
  }
}

template <class Bits>
void scatter_bits(const char* from, std::int64_t count, bool swapped, char* to, std::int64_t stride) {
  if (swapped && stride == sizeof(Bits)) {
    scatter_as<Bits, true>(from, count, to, sizeof(Bits));
  } else if (swapped) {
    scatter_as<Bits, true>(from, count, to, stride);
  } else {
    scatter_as<Bits, false>(from, count, to, stride);
  }
}

void scatter(const char* from, std::int64_t count, const Strided& array, char* to, std::int64_t stride) {
  switch (item_size(array.dtype)) {
    case 2:
      return scatter_bits<std::uint16_t>(from, count, array.swapped, to, stride);
    case 4:
      return scatter_bits<std::uint32_t>(from, count, array.swapped, to, stride);
    default:
      return scatter_bits<std::uint64_t>(from, count, array.swapped, to, stride);
  }
}

bool is_aligned(const Strided& array, const char* at) {
  return reinterpret_cast<std::uintptr_t>(at) % static_cast<std::uintptr_t>(item_size(array.dtype)) == 0;
}

}  // namespace

template <class T>
void store_numbers(const T* from, std::ptrdiff_t step, std::int64_t count, const Strided& array, char* to,
                   std::int64_t stride) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  if (native_at<T>(array, to) && step == 1 && stride == size) {
    std::copy_n(from, count, reinterpret_cast<T*>(to));
    return;
  }
  if (native_at<T>(array, to) && stride % size == 0) {
    for (std::int64_t i = 0; i < count; ++i) {
      *reinterpret_cast<T*>(to + i * stride) = from[i * step];
    }
    return;
  }
  const auto convert = active_pack<T>().unpack[static_cast<int>(array.dtype)];
  if (step == 1 && stride == item_size(array.dtype) && !array.swapped && is_aligned(array, to)) {
    convert(from, count, to);
    return;
  }
  T line[line_size];
  alignas(double) char made[line_size * sizeof(double)];
  for (std::int64_t first = 0; first < count; first += line_size) {
    const std::int64_t n = std::min(line_size, count - first);
    const T* numbers = from + first * step;
    if (step != 1) {
      for (std::int64_t i = 0; i < n; ++i) {
        line[i] = numbers[i * step];
      }
      numbers = line;
    }
    if (array.dtype == dtype_of<T>()) {
      scatter(reinterpret_cast<const char*>(numbers), n, array, to + first * stride, stride);
    } else {
      convert(numbers, n, made);
      scatter(made, n, array, to + first * stride, stride);
    }
  }
}

template <class T>
void store_block(const Output& output, std::int64_t begin, std::int64_t count, const T* from) {
  if (output.layout == nullptr) {
    active_pack<T>().unpack[static_cast<int>(output.dtype)](from, count,
                                                            static_cast<char*>(output.data) + begin * item_size(output.dtype));
    return;
  }
  Strided array;
  const Layout layout = lay_out(&output.layout, 1, &array);
  char* data = static_cast<char*>(output.data);
  if (layout.ndim == 0) {
    store_numbers(from, 1, count, array, data, 0);
    return;
  }
  std::int64_t index[max_dims];
  char* at = data + (place_of(layout, array, begin, index) - array.data);
  const int last = layout.ndim - 1;
  const std::int64_t columns = layout.shape[last];
  const std::int64_t stride = array.strides[last];
  const std::int64_t row_stride = last > 0 ? array.strides[last - 1] : 0;
  while (count > 0) {
    const std::int64_t below = last > 0 && index[last] == 0 ? layout.shape[last - 1] - index[last - 1] : 0;
    const std::int64_t rows = std::min(below, count / columns);
    std::int64_t n = std::min(columns - index[last], count);
    if (rows > 1 && std::abs(row_stride) < std::abs(stride)) {
      for (std::int64_t c = 0; c < columns; ++c) {
        store_numbers(from + c, columns, rows, array, at + c * stride, row_stride);
      }
      from += (rows - 1) * columns;
      count -= (rows - 1) * columns;
      at += (rows - 1) * row_stride;
      index[last - 1] += rows - 1;
      n = columns;
    } else {
      store_numbers(from, 1, n, array, at, stride);
    }
    from += n;
    count -= n;
    at += n * stride;
    index[last] += n;
    for (int d = last; d > 0 && index[d] == layout.shape[d]; --d) {
      at += array.strides[d - 1] - index[d] * array.strides[d];
      index[d] = 0;
      ++index[d - 1];
    }
  }
}

void clear(const Output& output) {
  if (output.layout == nullptr) {
    std::fill_n(static_cast<char*>(output.data), output.size * item_size(output.dtype), char{0});
    return;
  }
  const float zeros[line_size] = {};
  for (std::int64_t begin = 0; begin < output.size; begin += line_size) {
    store_block(output, begin, std::min(line_size, output.size - begin), zeros);
  }
}

template void store_numbers(const float*, std::ptrdiff_t, std::int64_t, const Strided&, char*, std::int64_t);
template void store_numbers(const double*, std::ptrdiff_t, std::int64_t, const Strided&, char*, std::int64_t);
template void store_block(const Output&, std::int64_t, std::int64_t, const float*);
template void store_block(const Output&, std::int64_t, std::int64_t, const double*);

}  // namespace ndloss
