// Negative log likelihood over whole arrays: one logit of each row is read.
#include <algorithm>
#include <cstring>

#include "row_driver.hpp"

namespace ndloss {
namespace {

/// Nanoseconds of one thread per row, roughly.
constexpr double row_cost = 5.0;

/// The input at each row's label; anything where there is none.
template <class T>
void pick(const RowDriver<T>& driver, const RowOffsets& offsets, int count, const std::int64_t* label, T* picked) {
  const RowWalk& walk = driver.walk;
  const Strided& array = walk.array(input_array);
  const std::int64_t stride = walk.class_stride(input_array);
  const bool native = array.dtype == dtype_of<T>() && !array.swapped;
  for (int r = 0; r < count; ++r) {
    const std::int64_t offset = offsets.at(input_array, r) + (label[r] >= 0 ? label[r] : 0) * stride;
    if (native && label[r] >= 0) {
      std::memcpy(picked + r, array.data + offset, sizeof(T));
    } else if (label[r] >= 0) {
      driver.read_one(input_array, offset, picked[r]);
    }
  }
}

/// Zeros for the gradients of some rows.
void clear_rows(const RowWalk& walk, const RowOffsets& offsets, int count) {
  const Strided& grad = walk.array(output_array);
  const std::int64_t item = item_size(grad.dtype);
  const std::int64_t stride = walk.class_stride(output_array);
  const std::int64_t width = walk.classes() * item;
  const auto row = [&](int r) { return const_cast<char*>(grad.data) + offsets.at(output_array, r); };
  std::int64_t apart = 0;
  if (stride == item && offsets.even(output_array, count, apart) && apart == width) {
    std::fill_n(row(0), count * width, char{0});
    return;
  }
  for (int r = 0; r < count; ++r) {
    if (stride == item) {
      std::fill_n(row(r), width, char{0});
      continue;
    }
    for (std::int64_t c = 0; c < walk.classes(); ++c) {
      std::fill_n(row(r) + c * stride, item, char{0});
    }
  }
}

template <class T>
BadValue tile(const RowDriver<T>& driver, std::int64_t row, int count, const Output& value, Part& part) {
  const RowWalk& walk = driver.walk;
  const RowOffsets offsets = walk.offsets(row, count);
  TileRows<T> rows;
  driver.read_rows(offsets, row, count, rows);
  double losses[tile_rows] = {};
  T picked[tile_rows];
  pick(driver, offsets, count, rows.labels.label, picked);
  for (int r = 0; r < count; ++r) {
    if (rows.labels.label[r] >= 0) {
      losses[r] = static_cast<double>(NLLLoss::value(static_cast<T>(rows.labels.weight[r]), picked[r]));
    }
  }
  if (walk.present(output_array)) {
    const Strided& grad = walk.array(output_array);
    const auto store = active_pack<T>().unpack[static_cast<int>(grad.dtype)];
    const std::int64_t stride = walk.class_stride(output_array);
    clear_rows(walk, offsets, count);
    for (int r = 0; r < count; ++r) {
      char* to = const_cast<char*>(grad.data) + offsets.at(output_array, r);
      const std::int64_t y = rows.labels.label[r];
      if (y >= 0) {
        const T slope = rows.scale[r] * NLLLoss::slope(static_cast<T>(rows.labels.weight[r]));
        store(&slope, 1, to + y * stride);
      }
    }
  }
  driver.finish_rows(row, count, losses, rows.labels, value, part);
  return rows.labels.bad;
}

template <class T>
Accumulator run_as(const RowCall& call, const RowGradients* wanted, const Output& value) {
  const RowDriver<T> driver(call, wanted, nullptr);
  const std::int64_t rows = driver.end - call.begin;
  const double cost = wanted != nullptr ? static_cast<double>(driver.walk.classes()) * 0.3 + row_cost : row_cost;
  const int threads = threads_for(static_cast<std::int64_t>(static_cast<double>(rows) * cost), call.threads);
  return reduce_blocks(
      call.initial, (rows + nll_rows_per_block - 1) / nll_rows_per_block, threads, call.interrupt,
      [&](std::int64_t block, int /*thread*/, Part& part) {
        const std::int64_t begin = call.begin + block * nll_rows_per_block;
        const std::int64_t end = std::min(begin + nll_rows_per_block, driver.end);
        BadValue bad;
        for (std::int64_t row = begin; row < end; row += tile_rows) {
          bad.merge(tile(driver, row, static_cast<int>(std::min<std::int64_t>(tile_rows, end - row)), value, part));
        }
        return bad;
      });
}

}  // namespace

Accumulator run_nll(const RowCall& call, const RowGradients* wanted, const Output& value) {
  return call.compute == DType::float64 ? run_as<double>(call, wanted, value) : run_as<float>(call, wanted, value);
}

}  // namespace ndloss
