// Negative log likelihood over whole arrays: one logit of each row is read.
#include <algorithm>
#include <cstring>

#include "row_fold.hpp"

namespace ndloss {
namespace {

/// Nanoseconds of one thread per row, roughly.
constexpr double row_cost = 5.0;

/// The input at each row's label; some number of the row, or none, where there is no label.
template <class T>
void pick(const RowDriver<T>& driver, const RowOffsets& offsets, int count, const std::int64_t* label, T* picked) {
  const RowWalk& walk = driver.walk;
  const Strided& array = walk.array(input_array);
  const std::int64_t stride = walk.class_stride(input_array);
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  const char* first = array.data + offsets.at(input_array, 0);
  std::int64_t row_stride = 0;
  if (walk.classes() > 0 && native_at<T>(array, first) && stride % size == 0 && offsets.even(input_array, count, row_stride) &&
      row_stride % size == 0) {
    active_pick<T>().pick(reinterpret_cast<const T*>(first), row_stride / size, stride / size, label, count, picked);
    return;
  }
  for (int r = 0; r < count; ++r) {
    picked[r] = T(0);
    if (label[r] >= 0) {
      driver.read_one(input_array, offsets.at(input_array, r) + label[r] * stride, picked[r]);
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
  const bool even = offsets.even(output_array, count, apart);
  if (even && stride == item && apart == width) {
    std::fill_n(row(0), count * width, char{0});
    return;
  }
  if (even && apart == item) {
    for (std::int64_t c = 0; c < walk.classes(); ++c) {
      std::fill_n(row(0) + c * stride, count * item, char{0});
    }
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

/// The gradients of a tile at its labels; zeros stand elsewhere.
template <class T>
void put_slopes(const RowDriver<T>& driver, const RowOffsets& offsets, int count, const TileRows<T>& rows) {
  const Strided& grad = driver.walk.array(output_array);
  const std::int64_t stride = driver.walk.class_stride(output_array);
  const bool native = grad.dtype == dtype_of<T>() && !grad.swapped;
  for (int r = 0; r < count; ++r) {
    const std::int64_t y = rows.labels.label[r];
    if (y < 0) {
      continue;
    }
    char* const to = const_cast<char*>(grad.data) + offsets.at(output_array, r) + y * stride;
    const T slope = rows.scale[r] * NLLLoss::slope(static_cast<T>(rows.labels.weight[r]));
    if (native) {
      std::memcpy(to, &slope, sizeof slope);
    } else {
      store_numbers(&slope, 1, 1, grad, to, stride);
    }
  }
}

/// Gradients of rows whose classes stand apart, once their losses are known: zeros are written side by side for many rows.
template <class T>
void put_gradients(const RowDriver<T>& driver, std::int64_t begin, std::int64_t end) {
  const RowWalk& walk = driver.walk;
  for (std::int64_t row = begin; row < end;) {
    const bool even = walk.even(row, end - row);
    const auto count = static_cast<int>(even ? end - row : std::min<std::int64_t>(tile_rows, end - row));
    clear_rows(walk, walk.offsets(row, count), count);
    for (const std::int64_t last = row + count; row < last;) {
      const auto rows = static_cast<int>(std::min<std::int64_t>(tile_rows, last - row));
      const RowOffsets offsets = walk.offsets(row, rows);
      TileRows<T> tile;
      driver.read_rows(offsets, row, rows, tile);
      put_slopes(driver, offsets, rows, tile);
      row += rows;
    }
  }
}

template <class T>
BadValue tile(const RowDriver<T>& driver, std::int64_t row, int count, const Output& value, Part& part) {
  const RowWalk& walk = driver.walk;
  const RowOffsets offsets = walk.offsets(row, count);
  TileRows<T> rows;
  driver.read_rows(offsets, row, count, rows);
  double losses[tile_rows];
  T picked[tile_rows];
  pick(driver, offsets, count, rows.labels.label, picked);
  active_pick<T>().likelihood(picked, rows.labels.label, rows.labels.weight, count, losses);
  if (walk.present(output_array)) {
    clear_rows(walk, offsets, count);
    put_slopes(driver, offsets, count, rows);
  }
  driver.finish_rows(row, count, losses, rows.labels, value, part);
  return rows.labels.bad;
}

template <class T>
Accumulator run_as(const RowCall& call, const RowGradients* wanted, const Output& value) {
  const RowDriver<T> gradients(call, wanted, nullptr);
  const RowWalk& walk = gradients.walk;
  const bool apart = walk.present(output_array) && walk.class_stride(output_array) != item_size(walk.array(output_array).dtype);
  const RowDriver<T> driver(call, apart ? nullptr : wanted, nullptr);
  const std::int64_t rows = driver.end - call.begin;
  const double cost = wanted != nullptr ? static_cast<double>(walk.classes()) * 0.3 + row_cost : row_cost;
  const int threads = threads_for(static_cast<std::int64_t>(static_cast<double>(rows) * cost), call.threads);
  const bool folds = !weighs_rows(call) && foldable(driver, value);
  const auto fold = [](const LabelledRows<T>& tiles, std::int64_t count, RowSum& total) {
    return active_pick<T>().fold(tiles, count, total);
  };
  return reduce_blocks(call.initial, (rows + nll_rows_per_block - 1) / nll_rows_per_block, threads, call.interrupt,
                       [&](std::int64_t block, int /*thread*/, Part& part) {
                         const std::int64_t begin = call.begin + block * nll_rows_per_block;
                         const std::int64_t end = std::min(begin + nll_rows_per_block, driver.end);
                         const auto one = [&](std::int64_t row, int count) { return tile(driver, row, count, value, part); };
                         const BadValue bad = fold_rows(driver, folds, begin, end, tile_rows, value, part, fold, one);
                         if (apart) {
                           put_gradients(gradients, begin, end);
                         }
                         return bad;
                       });
}

}  // namespace

Accumulator run_nll(const RowCall& call, const RowGradients* wanted, const Output& value) {
  return call.compute == DType::float64 ? run_as<double>(call, wanted, value) : run_as<float>(call, wanted, value);
}

}  // namespace ndloss
