// Summing the gradient of a broadcast operand back to the operand's shape.
#include <algorithm>
#include <vector>

#include "layout.hpp"
#include "ndloss/calls.hpp"
#include "ndloss/math.hpp"

namespace ndloss {

void sum_to_shape(const ArrayView& from, const ArrayView& shape_of, const Output& to) {
  // `to` seen with the shape of `from`: stride 0 where it was broadcast.
  const int extra = from.ndim - shape_of.ndim;
  std::int64_t strides[max_dims] = {};
  std::int64_t stride = 1;
  for (int d = from.ndim - 1; d >= extra; --d) {
    const std::int64_t extent = shape_of.shape[static_cast<std::size_t>(d - extra)];
    strides[d] = extent == 1 && from.shape[static_cast<std::size_t>(d)] != 1 ? 0 : stride;
    stride *= extent;
  }
  std::vector<double> sums(static_cast<std::size_t>(stride), 0.0);
  std::vector<double> lost(static_cast<std::size_t>(stride), 0.0);
  const ArrayView* const views[] = {&from};
  Strided array;
  const Layout layout = lay_out(views, 1, &array);
  constexpr std::int64_t block = 4096;
  std::vector<double> numbers(static_cast<std::size_t>(std::min(block, std::max<std::int64_t>(layout.size, 1))));
  std::int64_t index[max_dims] = {};
  std::int64_t at = 0;
  for (std::int64_t begin = 0; begin < layout.size; begin += block) {
    const std::int64_t count = std::min(block, layout.size - begin);
    const double* terms = read_block<double>(layout, array, active_pack<double>(), begin, count, numbers.data());
    for (std::int64_t i = 0; i < count; ++i) {
      const auto slot = static_cast<std::size_t>(at);
      const math::Pair<double> sum = math::two_sum(sums[slot], terms[i]);
      sums[slot] = sum.head;
      lost[slot] += sum.tail;
      for (int d = from.ndim - 1; d >= 0; --d) {
        const std::int64_t extent = from.shape[static_cast<std::size_t>(d)];
        at += strides[d];
        if (++index[d] < extent) {
          break;
        }
        at -= extent * strides[d];
        index[d] = 0;
      }
    }
  }
  for (std::size_t k = 0; k < sums.size(); ++k) {
    sums[k] = sums[k] - sums[k] == 0 ? sums[k] + lost[k] : sums[k];
  }
  active_pack<double>().unpack[static_cast<int>(to.dtype)](sums.data(), stride, to.data);
}

}  // namespace ndloss
