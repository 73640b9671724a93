// The mergeable partial result.
#include <bit>
#include <string>

#include "stream_sums.hpp"

namespace ndloss::binding {
namespace {

constexpr int state_version = 1;

Reduction reduction_of(const std::string& name) {
  if (name == "mean") {
    return Reduction::mean;
  }
  if (name == "sum") {
    return Reduction::sum;
  }
  throw py::value_error("reduction must be 'mean' or 'sum', got '" + name + "'");
}

py::tuple state_of(const Accumulator& a) {
  return py::make_tuple(state_version, a.sum, a.carry, a.weight, a.weight_carry, a.count);
}

Accumulator from_state(const py::tuple& state) {
  if (state.size() != 6 || state[0].cast<int>() != state_version) {
    throw py::value_error("Accumulator: the pickled state is not of version 1");
  }
  Accumulator a;
  a.sum = state[1].cast<double>();
  a.carry = state[2].cast<double>();
  a.weight = state[3].cast<double>();
  a.weight_carry = state[4].cast<double>();
  a.count = state[5].cast<std::int64_t>();
  return a;
}

/// The rooms without what is empty.
py::tuple tail_of(const StreamSums& s) {
  py::tuple tail(s.rooms.size());
  for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(tail.ptr()); ++k) {
    PyObject* const part = PySequence_GetSlice(PyTuple_GET_ITEM(s.rooms.ptr(), k), 0, s.filled);
    if (part == nullptr) {
      throw py::error_already_set();
    }
    PyTuple_SET_ITEM(tail.ptr(), k, part);
  }
  return tail;
}

StreamSums copied(const StreamSums& s) {
  StreamSums copy = s;
  copy.rooms = py::tuple(s.rooms.size());
  for (std::size_t k = 0; k < copy.rooms.size(); ++k) {
    copy.rooms[k] = py::object(s.rooms[k]).attr("copy")();
  }
  return copy;
}

py::tuple state_of_stream(const StreamSums& s) {
  return py::make_tuple(state_version, state_of(s.done), state_of(s.total), tail_of(s), s.filled, s.item_size);
}

StreamSums stream_from_state(const py::tuple& state) {
  if (state.size() != 6 || state[0].cast<int>() != state_version) {
    throw py::value_error("StreamSums: the pickled state is not of version 1");
  }
  StreamSums s;
  s.done = from_state(state[1].cast<py::tuple>());
  s.total = from_state(state[2].cast<py::tuple>());
  s.rooms = state[3].cast<py::tuple>();
  s.filled = state[4].cast<std::int64_t>();
  s.item_size = state[5].cast<std::int64_t>();
  return s;
}

}  // namespace

void bind_accumulator(py::module_& m) {
  py::class_<Accumulator>(m, "Accumulator")
      .def(py::init<>())
      .def_property_readonly("total", &Accumulator::total)
      .def_property_readonly("divisor", &Accumulator::divisor)
      .def_readonly("count", &Accumulator::count)
      .def_property_readonly("bad",
                             [](const Accumulator& a) -> py::object {
                               if (!a.bad.found()) {
                                 return py::none();
                               }
                               return py::make_tuple(a.bad.index, static_cast<int>(a.bad.operand), a.bad.value);
                             })
      .def("compute", [](const Accumulator& a, const std::string& reduction) { return a.compute(reduction_of(reduction)); })
      .def("merge", [](Accumulator& a, const Accumulator& other) { a += other; })
      .def("per_row", &per_row)
      .def("share_divisor", &Accumulator::share_divisor)
      .def("copy", [](const Accumulator& a) { return a; })
      .def(py::pickle(&state_of, &from_state));
  py::class_<StreamSums>(m, "StreamSums")
      .def(py::init<>())
      .def_property(
          "done", [](const StreamSums& s) { return s.done; }, [](StreamSums& s, const Accumulator& done) { s.done = done; })
      .def_property(
          "total", [](const StreamSums& s) { return s.total; },
          [](StreamSums& s, const Accumulator& total) { s.total = total; })
      .def_readwrite("rooms", &StreamSums::rooms)
      .def_property_readonly("tail", &tail_of)
      .def_readwrite("filled", &StreamSums::filled)
      .def_readwrite("item_size", &StreamSums::item_size)
      .def_property(
          "key", [](const StreamSums& s) { return py::bytes(s.key); },
          [](StreamSums& s, const py::bytes& key) { s.key = std::string(key); })
      .def("copy", &copied)
      .def(py::pickle(&state_of_stream, &stream_from_state));
  m.def("double_of_bits", [](std::uint64_t bits) { return std::bit_cast<double>(bits); });
}

}  // namespace ndloss::binding
