package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Fill sets the fields of the struct that dst points to from the parameters
// that their tags name: `param:"mail_owner"`. A field is a string, bool, int,
// int64, time.Duration or []string. Fields without tag are left alone, but
// structs are entered. The error names the parameter, with file, line and
// column where it is set.
func (c *Config) Fill(dst any) error {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("config: Fill needs a pointer to a struct, not %T", dst)
	}
	return c.fillStruct(v.Elem())
}

func (c *Config) fillStruct(v reflect.Value) error {
	t := v.Type()
	for i := range t.NumField() {
		field := t.Field(i)
		name, ok := field.Tag.Lookup("param")
		if !ok {
			if field.Type.Kind() == reflect.Struct && field.IsExported() {
				if err := c.fillStruct(v.Field(i)); err != nil {
					return err
				}
			}
			continue
		}
		if !v.Field(i).CanSet() {
			return fmt.Errorf("config: field %s of %s is not exported", field.Name, t)
		}
		if err := c.fillField(v.Field(i), name); err != nil {
			return err
		}
	}
	return nil
}

// fillField sets one field.
func (c *Config) fillField(v reflect.Value, name string) error {
	p, ok := c.params[name]
	if !ok {
		return fmt.Errorf("config: %q is not in the table of parameters", name)
	}
	value, err := c.checked(p)
	if err != nil {
		return err
	}
	switch v.Interface().(type) {
	case time.Duration:
		if p.Type == Int {
			return fmt.Errorf("config: %s is a number without unit, not a time", name)
		}
		d, err := ParseTime(value, c.timeUnit(p))
		v.SetInt(int64(d))
		return err
	case []string:
		v.Set(reflect.ValueOf(SplitList(value)))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(value)
	case reflect.Bool:
		b, err := parseBool(value)
		if err != nil {
			return c.bad(name, value, err)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64, reflect.Int32:
		n, err := parseInt(value)
		if err != nil {
			return c.bad(name, value, err)
		}
		v.SetInt(n)
	default:
		return fmt.Errorf("config: a field of type %s cannot hold %s", v.Type(), name)
	}
	return nil
}

// checked returns the expanded value of a parameter after checking it against
// type and range.
func (c *Config) checked(p *Param) (string, error) {
	if p.Type == Raw {
		raw, _ := c.Raw(p.Name)
		return raw, c.bad(p.Name, raw, checkLength(p, raw))
	}
	value, err := c.Value(p.Name)
	if err != nil {
		return "", err
	}
	return value, c.bad(p.Name, value, c.checkValue(p, value))
}

// checkValue checks an expanded value.
func (c *Config) checkValue(p *Param, value string) error {
	switch p.Type {
	case Bool:
		_, err := parseBool(value)
		return err
	case Int:
		n, err := parseInt(value)
		if err != nil {
			return err
		}
		return checkRange(p, n)
	case Time:
		d, err := ParseTime(value, c.timeUnit(p))
		if err != nil {
			return err
		}
		return checkRange(p, int64(d/time.Second))
	case Enum:
		if len(p.Values) > 0 && !slices.Contains(p.Values, strings.ToLower(value)) {
			return errors.New("want one of: " + strings.Join(p.Values, ", "))
		}
		return nil
	}
	return checkLength(p, value)
}

// bad describes a wrong value; without error it returns nil.
func (c *Config) bad(name, value string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s%s = %s: %w", c.where(name), name, value, err)
}

// timeUnit returns the unit of a time parameter that is given as a plain
// number: the unit of its default.
func (c *Config) timeUnit(p *Param) byte {
	def, err := c.Expand(p.Default)
	if err != nil || def == "" {
		return 's'
	}
	unit := def[len(def)-1]
	if _, ok := unitSeconds(unit); !ok {
		return 's'
	}
	return unit
}
