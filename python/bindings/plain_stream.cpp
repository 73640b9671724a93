// Plain calls that join a stream: see the header.
#include "plain_stream.hpp"

#include <cstddef>
#include <cstring>

namespace ndloss::binding {
namespace {

/// Copies elements [begin, end) of an array, in C order.
void copy_elements(const ArrayView& view, std::int64_t begin, std::int64_t end, std::byte* to) {
  const std::int64_t size = item_size(view.dtype);
  std::int64_t run = 1;  // so many stand side by side
  auto outer = static_cast<std::size_t>(view.ndim);
  while (outer > 0 && (view.shape[outer - 1] == 1 || view.strides[outer - 1] == run * size)) {
    run *= view.shape[--outer];
  }
  const std::int64_t length = outer > 0 ? view.shape[outer - 1] : 1;  // of the axis along which the runs follow
  const std::int64_t stride = outer > 0 ? view.strides[outer - 1] : 0;
  while (begin < end) {
    std::int64_t rest = begin / run / length;
    const auto* from = static_cast<const std::byte*>(view.data);
    for (std::size_t d = outer; d > 1; --d) {
      from += rest % view.shape[d - 2] * view.strides[d - 2];
      rest /= view.shape[d - 2];
    }
    std::int64_t skipped = begin % run;
    for (std::int64_t i = begin / run % length; i < length && begin < end; ++i) {
      const std::int64_t count = std::min(run - skipped, end - begin);
      const auto bytes = static_cast<std::size_t>(count * size);
      std::memcpy(to, from + i * stride + skipped * size, bytes);
      to += bytes;
      begin += count;
      skipped = 0;
    }
  }
}

}  // namespace

void PlainFeed::offer(const std::string& key) const {
  try {
    request.attr("key") = py::bytes(key);
  } catch (py::error_already_set& error) {
    error.restore();
  }
}

bool read_feed(PyObject* object, PlainFeed& feed) {
  try {
    feed.request = py::reinterpret_borrow<py::object>(object);
    feed.holder = feed.request.attr("stream").attr("sums");
    feed.sums = feed.holder.cast<StreamSums*>();
  } catch (const std::exception&) {
    PyErr_Clear();
  }
  return feed.wanted();
}

StreamedArrays::One& StreamedArrays::added(const ArrayView*& place) {
  One& one = arrays_[count_++];
  one.place = &place;
  one.given = place;
  one.view = place;
  return one;
}

void StreamedArrays::add(const ArrayView*& place) {
  One& one = added(place);
  one.width = 1;
  one.room.ndim = 1;
}

void StreamedArrays::add_rows(const ArrayView*& place, int axis) {
  One& one = added(place);
  const int last = place->ndim - 1;
  one.width = place->shape[static_cast<std::size_t>(axis)];
  if (axis != last) {
    one.turned = *place;
    one.view = &one.turned;
    const auto to_end = [&](auto& lengths) {
      std::rotate(lengths.begin() + axis, lengths.begin() + axis + 1, lengths.begin() + last + 1);
    };
    to_end(one.turned.shape);
    to_end(one.turned.strides);
  }
  one.room.ndim = 2;
}

bool StreamedArrays::find_rooms(const py::tuple& rooms) {
  if (block > 1 && static_cast<int>(rooms.size()) != count_) {
    return false;
  }
  for (int k = 0; block > 1 && k < count_; ++k) {
    One& one = arrays_[k];
    PlainArray room;
    const Py_ssize_t shape[] = {block, one.width};
    if (!plain_ndarray(PyTuple_GET_ITEM(rooms.ptr(), k), room) || room.dtype != one.view->dtype || one.view->swapped ||
        !room.in_place() || !room.has_shape(one.room.ndim, shape)) {
      return false;
    }
    set_view(one.room, room);
  }
  rooms_ = rooms;
  return true;
}

void StreamedArrays::keep(std::int64_t begin, std::int64_t end, std::int64_t behind) const {
  for (const One& one : std::span(arrays_, static_cast<std::size_t>(count_))) {
    auto* room = static_cast<std::byte*>(const_cast<void*>(one.room.data));
    copy_elements(*one.view, begin * one.width, end * one.width, room + behind * one.width * item_size(one.view->dtype));
  }
}

void StreamedArrays::take_rooms() {
  for (const One& one : std::span(arrays_, static_cast<std::size_t>(count_))) {
    *one.place = &one.room;
  }
}

void StreamedArrays::take_arrays() {
  for (const One& one : std::span(arrays_, static_cast<std::size_t>(count_))) {
    *one.place = one.given;
  }
}

}  // namespace ndloss::binding
